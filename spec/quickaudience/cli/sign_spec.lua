-- sign_spec.lua
-- Signs from the command line and holds the result against the library's.
-- Does not know MD5.
-- SPDX-License-Identifier: MIT
local cjson = require "cjson"
local command = require "support.command"
local quickaudience = require "quickaudience"

local ENVIRONMENT = { QUICKAUDIENCE_ACCESS_KEY = "key", QUICKAUDIENCE_ACCESS_SECRET = "t0p s3cr3t" }

describe("the command sign", function()
  local function run(...)
    return command.run({ "sign", "--app-id", "app", "--timestamp", "1708235644862", ... },
      { environment = ENVIRONMENT })
  end

  it("shows the signature and the signed text, the secret masked", function()
    local code, out, err = run("--param", "x=1 2")
    assert.same({ 0, "" }, { code, err })
    local expected = quickaudience.sign { app_id = "app", access_key = "key",
      access_secret = "t0p s3cr3t", timestamp = 1708235644862, params = { x = "1 2" } }
    assert.truthy(out:find("signature  " .. expected, 1, true), out)
    assert.truthy(out:find("accessSecret=***", 1, true), out)
    assert.is_nil(out:find("s3cr3t", 1, true))
  end)

  it("prints JSON", function()
    local code, out = run("--json", "--sign-encoding", "rfc3986")
    assert.equal(0, code)
    local result = cjson.decode(out)
    assert.same({ 1708235644862, "rfc3986", 32 },
      { result.timestamp, result.sign_encoding, #result.signature })
  end)

  it("says what is wrong", function()
    local code, _, err = command.run { "sign", "--app-id", "a" }
    assert.equal(2, code)
    assert.truthy(err:find("QUICKAUDIENCE_ACCESS_KEY", 1, true), err)
    code, _, err = run("--sign-encoding", "x")
    assert.equal(2, code)
    assert.truthy(err:find("sign_encoding", 1, true), err)
    code, _, err = run("--param", "x")
    assert.equal(2, code)
    assert.truthy(err:find("--param: expected name=value", 1, true), err)
    code, _, err = run("--param", "x=1", "--param", "x=2")
    assert.equal(2, code)
    assert.truthy(err:find("--param: 'x' stands twice", 1, true), err)
  end)

  it("warns of a timestamp in seconds", function()
    local code, out, err = command.run({ "sign", "--app-id", "app", "--timestamp", "1708235644" },
      { environment = ENVIRONMENT })
    assert.equal(0, code)
    assert.truthy(out:find("signature  ", 1, true), out)
    assert.truthy(err:find("1708235644 looks like seconds", 1, true), err)
  end)
end)
