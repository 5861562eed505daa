--- percent_spec.lua
-- Checks the percent encodings against what Java and RFC 3986 say.
-- Does not know what is encoded.
-- SPDX-License-Identifier: MIT

local percent = require "quickaudience.sandbox.percent"

local function every_byte()
  local bytes = {}
  for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
  return bytes
end

describe("sandbox.percent", function()
  it("encodes as java.net.URLEncoder", function()
    -- new URLEncoder().encode("aZ09.-*_ ~+/é\n", "UTF-8")
    assert.equal("aZ09.-*_+%7E%2B%2F%C3%A9%0A", percent.form("aZ09.-*_ ~+/é\n"))
  end)

  it("encodes as RFC 3986", function()
    assert.equal("aZ09.-_~%2A%20%2B%2F%C3%A9%00", percent.rfc3986("aZ09.-_~* +/é\0"))
  end)

  it("treats every byte", function()
    for _, byte in ipairs(every_byte()) do
      local form, rfc = percent.form(byte), percent.rfc3986(byte)
      local code = string.format("%%%02X", byte:byte())
      if byte == " " then
        assert.equal("+", form)
      else
        assert.equal(byte:match("[A-Za-z0-9.*_-]") or code, form)
      end
      assert.equal(byte:match("[A-Za-z0-9._~-]") or code, rfc)
      assert.equal(byte, percent.none(byte))
    end
  end)

  it("names every encoding it has", function()
    for _, name in ipairs(percent.names) do assert.is_function(percent[name]) end
  end)
end)
