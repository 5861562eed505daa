--- sign_spec.lua
-- Checks signatures against the vector, and the encodings against Java's and RFC 3986's rules.
-- Does not know how the digest is computed.
-- SPDX-License-Identifier: MIT

local core = require "quickaudience.core"
local quickaudience = require "quickaudience"

local function call_with(changes)
  local call = { app_id = "tttt", access_key = "xxxx", access_secret = "yyyy",
    timestamp = 1708235644862 }
  for name, value in pairs(changes or {}) do call[name] = value end
  return call
end

-- The key as it is written into the text that is hashed.
local function encoded(key, encoding)
  local text = assert(core.canonical(call_with { access_key = key, encoding = encoding }))
  return text:match("^accessKey=(.*)&accessSecret=")
end

describe("sign", function()
  it("gives the signature of the vector", function()
    assert.equal("482898c9c725580c190c4df6b806f59e", quickaudience.sign(call_with()))
  end)

  it("agrees with a digest of the written-out text", function()
    -- md5 of accessKey=a%2Fb&accessSecret=p%2Bq+r&appId=%E4%B8%AD*&timestamp=1708235644862
    assert.equal("709062d90ed8bfc00e66612383b5a4d2", quickaudience.sign(call_with {
      access_key = "a/b", access_secret = "p+q r", app_id = "\228\184\173*" }))
  end)

  it("encodes as java.net.URLEncoder does", function()
    for given, written in pairs { ["+"] = "%2B", ["/"] = "%2F", [" "] = "+", ["*"] = "*",
      ["~"] = "%7E", ["\195\164"] = "%C3%A4", ["\240\159\152\128"] = "%F0%9F%98%80",
      ["a.b-c_d*e"] = "a.b-c_d*e", ["AZaz09"] = "AZaz09", ["=&?#%"] = "%3D%26%3F%23%25",
      ["!'()"] = "%21%27%28%29", ["@:,;$"] = "%40%3A%2C%3B%24" } do
      assert.equal(written, encoded(given))
      assert.equal(written, encoded(given, "form"))
    end
  end)

  it("encodes as RFC 3986 does, or not at all, when told to", function()
    for given, written in pairs { ["+"] = "%2B", [" "] = "%20", ["*"] = "%2A", ["~"] = "~",
      ["a.b-c_d"] = "a.b-c_d", ["\195\164"] = "%C3%A4" } do
      assert.equal(written, encoded(given, "rfc3986"))
    end
    assert.equal("a +/*~\195\164", encoded("a +/*~\195\164", "none"))
  end)

  it("sorts the names, parameters among them", function()
    assert.equal("accessKey=xxxx&accessSecret=***&appId=tttt&timestamp=1708235644862",
      core.canonical(call_with()))
    assert.equal("Zeta=1&a+b=%26&accessKey=xxxx&accessSecret=***&appId=tttt&b=2"
      .. "&timestamp=1708235644862&z=", core.canonical(call_with {
      params = { b = "2", z = "", Zeta = "1", ["a b"] = "&" } }))
  end)

  it("changes with every input", function()
    local seen = {}
    for _, changes in ipairs { {}, { app_id = "u" }, { access_key = "u" },
      { access_secret = "u" }, { timestamp = 1708235644863 }, { params = { a = "b" } } } do
      local signature = quickaudience.sign(call_with(changes))
      assert.truthy(signature:find("^%x+$") and #signature == 32)
      assert.equal(signature:lower(), signature)
      assert.is_nil(seen[signature])
      seen[signature] = true
    end
  end)

  it("raises for a wrong argument, and never shows the secret", function()
    for _, changes in ipairs { { app_id = 7 }, { access_key = {} }, { timestamp = "now" },
      { timestamp = 1.5 }, { timestamp = 0 / 0 }, { encoding = "utf8" }, { params = 7 },
      { params = { a = 1 } }, { params = { "x" } }, { acces_key = "x" } } do
      changes.access_secret = "hidden-value"
      local ok, message = pcall(quickaudience.sign, call_with(changes))
      assert.is_false(ok)
      assert.falsy(tostring(message):find("hidden-value", 1, true))
    end
    local ok, message = pcall(quickaudience.sign, call_with { access_secret = 424242 })
    assert.is_false(ok)
    assert.falsy(message:find("424242", 1, true))
    assert.has_error(function() quickaudience.sign() end)
    assert.has_error(function() quickaudience.sign("x") end)
  end)

  it("names the parameter that was meant", function()
    local ok, message = pcall(quickaudience.sign, call_with { acces_key = "x" })
    assert.is_false(ok)
    assert.truthy(message:find("acces_key: unknown key; did you mean 'access_key'?", 1, true))
  end)

  it("masks the secret in the text for people", function()
    local text = core.canonical(call_with { access_secret = "hidden-value" })
    assert.falsy(text:find("hidden", 1, true))
  end)
end)
