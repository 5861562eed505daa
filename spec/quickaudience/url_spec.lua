--- url_spec.lua
-- Checks how URLs are taken apart.
-- Does not know which ones a configuration wants.
-- SPDX-License-Identifier: MIT

local url = require "quickaudience.url"

describe("url", function()
  it("takes a URL apart", function()
    assert.same({ scheme = "https", host = "example.com", rest = "" },
      url.parse("https://example.com"))
    assert.same({ scheme = "http", user = "u:p@ss", host = "[::1]", port = 8080,
      rest = "/path?q#f" }, url.parse("HTTP://u:p@ss@[::1]:8080/path?q#f"))
    assert.same({ scheme = "socks5h", host = "a-b.c_d", port = 1, rest = "" },
      url.parse("socks5h://A-b.C_d:1"))
  end)

  it("repeats nothing of what it refuses", function()
    for _, text in ipairs { "hidden", "hidden://", "http://hidden:port", "http://hid den",
      "http://hidden:70000", "http://[hidden]", "://hidden", "1http://hidden" } do
      local parts, message = url.parse(text)
      assert.is_nil(parts, text)
      assert.falsy(message:find("hid"), text)
    end
  end)

  it("writes an origin", function()
    assert.equal("https://h", url.origin { scheme = "https", host = "h", port = 443 })
    assert.equal("https://h:80", url.origin { scheme = "https", host = "h", port = 80 })
    assert.equal("http://h", url.origin { scheme = "http", host = "h", port = 80 })
    assert.equal("http://h", url.origin { scheme = "http", host = "h" })
  end)

  it("knows this machine", function()
    for _, host in ipairs { "localhost", "127.0.0.1", "127.255.255.255", "[::1]" } do
      assert.is_true(url.is_loopback(host), host)
    end
    for _, host in ipairs { "127.0.0.1.nip.io", "127.0.0.999", "1270.0.0.1", "0.0.0.0", "[::]",
      "127.0.0", "127.0.0.1x", "localhost.example" } do
      assert.is_false(url.is_loopback(host), host)
    end
  end)
end)
