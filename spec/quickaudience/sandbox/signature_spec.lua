--- signature_spec.lua
-- Checks the sandbox's check of signatures, against vectors made outside of Lua.
-- Does not know the client's signing code.
-- SPDX-License-Identifier: MIT

local digest = require "openssl.digest"
local signature = require "quickaudience.sandbox.signature"

local function md5(text) return digest.new("md5"):final(text) end

local function hex(text)
  return (md5(text):gsub(".", function(char) return string.format("%02x", char:byte()) end))
end

local NOW = 1708235644.862
local SECRET = "yyyy"

local function options(changes)
  local all = { encoding = "form", now = NOW, skew = 900, md5 = md5, credentials = {
    { app_id = "tttt", access_key = "xxxx", access_secret = SECRET },
    { app_id = "other", access_key = "key two", access_secret = "a b/~" },
  } }
  for name, value in pairs(changes or {}) do all[name] = value end
  return all
end

local function query(changes)
  local all = { appId = "tttt", accessKey = "xxxx", timestamp = "1708235644862" }
  for name, value in pairs(changes or {}) do all[name] = value end
  return all
end

local RIGHT = "482898c9c725580c190c4df6b806f59e"

local function check(authorization, changes, more, form)
  return signature.check({ query = query(changes), authorization = authorization, form = form },
    options(more))
end

-- The message for a signature made of this text.
local function explanation(text, form, changes)
  local credential, failure = check(hex(text), changes, nil, form)
  assert.is_nil(credential)
  assert.equal("SIGNATURE_MISMATCH", failure.code)
  assert.equal(401, failure.status)
  return failure.message
end

describe("sandbox.signature", function()
  it("signs the vector of the documents' rules", function()
    -- printf 'accessKey=xxxx&accessSecret=yyyy&appId=tttt&timestamp=1708235644862' | md5sum
    assert.equal(RIGHT, signature.sign({ appId = "tttt", accessKey = "xxxx",
      accessSecret = "yyyy", timestamp = "1708235644862" }, "form", md5))
  end)

  it("accepts the right signature and says whose it is", function()
    assert.equal("tttt", check(RIGHT).app_id)
  end)

  it("encodes as the option says", function()
    local values = { appId = "other", accessKey = "key two", timestamp = "1708235644862" }
    local texts = {
      form = "accessKey=key+two&accessSecret=a+b%2F%7E&appId=other&timestamp=1708235644862",
      rfc3986 = "accessKey=key%20two&accessSecret=a%20b%2F~&appId=other&timestamp=1708235644862",
      none = "accessKey=key two&accessSecret=a b/~&appId=other&timestamp=1708235644862",
    }
    for encoding, text in pairs(texts) do
      for given, other in pairs(texts) do
        local credential, failure = check(hex(other), values, { encoding = encoding })
        if given == encoding then
          assert.equal("other", credential and credential.app_id, text)
        else
          assert.truthy(failure.message:find("encoded as '" .. given .. "', not as '" .. encoding
            .. "'", 1, true), failure.message)
        end
      end
    end
  end)

  it("says which parameter is missing or repeated", function()
    for _, name in ipairs { "appId", "accessKey", "timestamp" } do
      for _, value in ipairs { "", true } do
        local _, failure = check(RIGHT, { [name] = value })
        assert.same({ status = 400, code = "MISSING_PARAMETER", path = "query." .. name,
          message = "is missing" }, failure)
      end
      local _, failure = check(RIGHT, { [name] = { "a", "b" } })
      assert.equal("DUPLICATE_PARAMETER", failure.code)
      assert.equal("query." .. name, failure.path)
    end
  end)

  it("tells an unknown appId from an unknown accessKey from a wrong pair", function()
    local _, failure = check(RIGHT, { appId = "nobody" })
    assert.same({ "UNKNOWN_APP_ID", "query.appId", 401 },
      { failure.code, failure.path, failure.status })
    _, failure = check(RIGHT, { accessKey = "nobody" })
    assert.same({ "UNKNOWN_ACCESS_KEY", "no such accessKey" }, { failure.code, failure.message })
    _, failure = check(RIGHT, { accessKey = "key two" })
    assert.same({ "UNKNOWN_ACCESS_KEY", "this accessKey belongs to another appId" },
      { failure.code, failure.message })
  end)

  it("wants the signature bare, whole and in hexadecimal digits", function()
    local _, failure = check(nil)
    assert.equal("MISSING_AUTHORIZATION", failure.code)
    for _, given in ipairs { "Bearer " .. RIGHT, RIGHT:sub(1, 31), RIGHT .. "0", ("g"):rep(32) } do
      _, failure = check(given)
      assert.equal("MALFORMED_SIGNATURE", failure.code, given)
    end
    _, failure = check({ RIGHT, RIGHT })
    assert.equal("DUPLICATE_PARAMETER", failure.code)
  end)

  it("wants the timestamp in milliseconds", function()
    for given, part in pairs { ["1708235644"] = "looks like seconds", ["1e12"] = "digits",
      ["1708235644.8"] = "digits", ["-1708235644862"] = "digits" } do
      local _, failure = check(RIGHT, { timestamp = given })
      assert.equal("INVALID_TIMESTAMP", failure.code)
      assert.equal(400, failure.status)
      assert.truthy(failure.message:find(part, 1, true), failure.message)
    end
  end)

  it("wants the timestamp near its clock, exactly as near as the option says", function()
    for off, code in pairs { [900] = false, [-900] = false, [901] = "TIMESTAMP_SKEW",
      [-901] = "TIMESTAMP_SKEW" } do
      local credential, failure = check(RIGHT, nil, { now = NOW + off })
      if code then
        assert.equal(code, failure.code)
        assert.truthy(failure.message:find(off > 0 and "901 s behind" or "901 s ahead of", 1, true))
      else
        assert.is_table(credential)
      end
    end
  end)

  describe("explains a wrong signature:", function()
    local tail = "appId=tttt&timestamp=1708235644862"
    local cases = {
      { "signed text begins or ends with '&'",
        "accessKey=xxxx&accessSecret=yyyy&" .. tail .. "&" },
      { "not joined by '&'",
        "accessKey=xxxxaccessSecret=yyyyappId=tttttimestamp=1708235644862" },
      { "ends with a line break", "accessKey=xxxx&accessSecret=yyyy&" .. tail .. "\n" },
      { "not sorted", "appId=tttt&timestamp=1708235644862&accessKey=xxxx&accessSecret=yyyy" },
      { "accessSecret is not part", "accessKey=xxxx&" .. tail },
      { "timestamp is not part", "accessKey=xxxx&accessSecret=yyyy&appId=tttt" },
      { "accessKey was used as the access secret", "accessKey=xxxx&accessSecret=xxxx&" .. tail },
      { "upper case", "accessKey=xxxx&accessSecret=YYYY&" .. tail },
      { "belongs to another", "accessKey=xxxx&accessSecret=a+b%2F%7E&" .. tail },
      { "white space stands after", "accessKey=xxxx&accessSecret=yyyy%0A&" .. tail },
      { "white space stands before", "accessKey=xxxx&accessSecret=+yyyy&" .. tail },
      { "swapped", "accessKey=tttt&accessSecret=yyyy&appId=xxxx&timestamp=1708235644862" },
      { "in seconds", "accessKey=xxxx&accessSecret=yyyy&appId=tttt&timestamp=1708235644" },
      { "the access secret is empty", "accessKey=xxxx&accessSecret=&" .. tail },
    }
    for _, case in ipairs(cases) do
      it(case[1], function()
        assert.truthy(explanation(case[2]):find(case[1], 1, true), explanation(case[2]))
      end)
    end

    it("upper-case digits", function()
      local _, failure = check(RIGHT:upper())
      assert.equal("wrong signature: it must be in lower case", failure.message)
    end)

    it("form fields signed too", function()
      local form = { accessId = "org", eventMessageModelListJson = "[]" }
      assert.truthy(explanation("accessId=org&accessKey=xxxx&accessSecret=yyyy&appId=tttt"
        .. "&eventMessageModelListJson=%5B%5D&timestamp=1708235644862", form)
        :find("form fields were signed too", 1, true))
    end)

    it("other query parameters signed too", function()
      assert.truthy(explanation("accessKey=xxxx&accessSecret=yyyy&" .. "appId=tttt&pageNum=1"
        .. "&timestamp=1708235644862", nil, { pageNum = "1" })
        :find("other query parameters were signed too", 1, true))
    end)

    it("anything else", function()
      assert.truthy(explanation("whatever"):find("the access secret differs", 1, true))
    end)
  end)

  it("never says the secret or the right signature", function()
    local form = { accessId = "org", eventMessageModelListJson = "[]" }
    local secret = "5up3r-s3cr3t"
    local more = { credentials = {
      { app_id = "tttt", access_key = "xxxx", access_secret = secret } } }
    local right = signature.sign({ appId = "tttt", accessKey = "xxxx", accessSecret = secret,
      timestamp = "1708235644862" }, "form", md5)
    for _, given in ipairs { ("0"):rep(32), right:upper(), "Bearer " .. right,
      hex("appId=tttt&accessKey=xxxx&accessSecret=" .. secret .. "&timestamp=1708235644862") } do
      local _, failure = check(given, nil, more, form)
      for _, text in pairs(failure) do
        text = tostring(text):lower()
        assert.is_nil(text:find(secret, 1, true))
        assert.is_nil(text:find(right, 1, true))
      end
    end
  end)
end)
