--- multipart_spec.lua
-- Checks the reading of multipart/form-data, whole and broken.
-- Does not know the service's fields.
-- SPDX-License-Identifier: MIT

local multipart = require "quickaudience.sandbox.multipart"

local function part(name, content)
  return 'Content-Disposition: form-data; name="' .. name .. '"\r\n\r\n' .. content
end

local function body(...)
  local text = ""
  for _, one in ipairs { ... } do text = text .. "--b\r\n" .. one .. "\r\n" end
  return text .. "--b--\r\n"
end

local function code_of(...)
  local fields, failure = multipart.parse(...)
  assert.is_nil(fields)
  assert.equal(400, failure.status)
  assert.is_string(failure.message)
  return failure.code, failure.path
end

describe("sandbox.multipart", function()
  describe("boundary", function()
    it("is read with and without quotes, wherever it stands", function()
      for header, boundary in pairs {
        ["multipart/form-data; boundary=b"] = "b",
        ['Multipart/Form-Data; charset=utf-8; Boundary="a b"; x=y'] = "a b",
        ["multipart/form-data;boundary=----x ; a=b"] = "----x",
      } do
        assert.equal(boundary, multipart.boundary(header))
      end
    end)

    it("is missed", function()
      for header, code in pairs {
        ["application/json"] = "NOT_MULTIPART",
        [""] = "NOT_MULTIPART",
        ["application/x-www-form-urlencoded; boundary=b"] = "NOT_MULTIPART",
        ["multipart/form-data"] = "NO_BOUNDARY",
        ["multipart/form-data; boundary="] = "NO_BOUNDARY",
        ['multipart/form-data; boundary=""'] = "NO_BOUNDARY",
        ["multipart/form-data; boundary=" .. ("b"):rep(71)] = "NO_BOUNDARY",
      } do
        local _, failure = multipart.boundary(header)
        assert.equal(code, failure.code, header)
        assert.equal("header.Content-Type", failure.path)
      end
      assert.equal("NOT_MULTIPART", select(2, multipart.boundary(nil)).code)
      assert.equal("NOT_MULTIPART", select(2, multipart.boundary({ "a", "b" })).code)
    end)
  end)

  it("reads fields as they are, byte for byte", function()
    local bytes = "a\r\n\r\n--\r\n-b\0\255\r\n--"
    assert.same({ one = "1", two = bytes, empty = "" },
      (multipart.parse(body(part("one", "1"), part("two", bytes), part("empty", "")), "b")))
  end)

  it("reads what curl sends, headers in any case, a preamble and padding", function()
    local text = "preamble\r\n--b \t\r\ncontent-disposition: FORM-DATA; name=plain\r\n"
      .. "Content-Type: text/plain; charset=UTF-8\r\n\r\nv\r\n--b--\r\nepilogue"
    assert.same({ plain = "v" }, (multipart.parse(text, "b")))
  end)

  it("reads no field at all", function()
    assert.same({}, (multipart.parse("--b--\r\n", "b")))
  end)

  it("refuses a body that is cut off at any place", function()
    local whole = body(part("one", "1"), part("two", "2"))
    local needed = #whole - 2 -- the last line break is not part of it
    for size = 0, needed - 1 do
      assert.equal("MALFORMED_MULTIPART", (code_of(whole:sub(1, size), "b")), tostring(size))
    end
    assert.is_table(multipart.parse(whole:sub(1, needed), "b"))
  end)

  it("refuses what is no part", function()
    assert.equal("MALFORMED_MULTIPART", (code_of(body("no header line\r\n\r\nx"), "b")))
    assert.equal("MALFORMED_MULTIPART", (code_of(body("X: y\r\n\r\nx"), "b")))
    assert.equal("MALFORMED_MULTIPART",
      (code_of(body("Content-Disposition: attachment; name=a\r\n\r\nx"), "b")))
    assert.equal("MALFORMED_MULTIPART",
      (code_of(body("Content-Disposition: form-data\r\n\r\nx"), "b")))
    assert.equal("MALFORMED_MULTIPART",
      (code_of(body('Content-Disposition: form-data; name="a"\r\n'), "b")))
    assert.equal("MALFORMED_MULTIPART", (code_of("--bc\r\n" .. part("a", "b"), "b")))
    assert.equal("MALFORMED_MULTIPART", (code_of(body(part("a", "1")), "other")))
  end)

  it("refuses a repeated field, a file, and more parts than anybody needs", function()
    local code, path = code_of(body(part("a", "1"), part("a", "2")), "b")
    assert.same({ "DUPLICATE_FIELD", "body.a" }, { code, path })
    code, path = code_of(body('Content-Disposition: form-data; name="a"; filename="f"\r\n\r\nx'),
      "b")
    assert.same({ "FIELD_IS_FILE", "body.a" }, { code, path })
    local many = ""
    for i = 1, 64 do many = many .. "--b\r\n" .. part("f" .. i, "x") .. "\r\n" end
    assert.is_table(multipart.parse(many .. "--b--", "b"))
    assert.equal("MALFORMED_MULTIPART", (code_of(many .. body(part("f65", "x")), "b")))
  end)
end)
