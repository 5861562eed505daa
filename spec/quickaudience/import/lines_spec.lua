-- lines_spec.lua
-- Cuts blocks of every size into lines, and knows where each one ends.
-- Does not know what lines hold.
-- SPDX-License-Identifier: MIT
local lines = require "quickaudience.import.lines"
local ndjson = require "quickaudience.import.ndjson"

local function source(text, size)
  local self = { at = 0 }
  function self.read()
    local block = text:sub(self.at + 1, self.at + size)
    self.at = self.at + size
    return block ~= "" and block or nil, text == "bad" and block == "" and "broke" or nil
  end
  function self.skip_to(_, offset)
    self.at = offset
    return offset <= #text or nil, "is shorter than it was"
  end
  return self
end

describe("lines", function()
  it("are cut alike whatever the blocks", function()
    local text = "one\n\nthree\r\n" .. ("x"):rep(20) .. "\nlast"
    for size = 1, 40 do
      local from, found = lines.new(source(text, size)), {}
      local line = from:next()
      while line do
        found[#found + 1] = line .. from.number .. "@" .. from:offset()
        line = from:next()
      end
      assert.same({ "one1@4", "2@5", "three\r3@12", ("x"):rep(20) .. "4@33", "last5@37" }, found)
    end
  end)

  it("begin behind a byte order mark", function()
    local from = lines.new(source("\239\187\191a\nb", 100))
    assert.equal("a", from:next())
    assert.equal(5, from:offset())
  end)

  it("that are too long are refused without being kept", function()
    for size = 1, 30 do
      local from = lines.new(source("ab\n" .. ("x"):rep(50) .. "\ncd\n", size), 10)
      assert.equal("ab", from:next())
      local text, reason = from:next()
      if reason then assert.same({ "", "longer than 10 bytes" }, { text, reason }) end
      assert.equal("cd", from:next())
      assert.same({ 3, 57 }, { from.number, from:offset() })
    end
    local _, reason = lines.new(source(("x"):rep(50), 4), 10):next()
    assert.equal("longer than 10 bytes", reason)
  end)

  it("go on at an offset, in the buffer or behind it", function()
    for size = 1, 20 do
      local from = lines.new(source("a\nbb\nccc\ndddd\n", size))
      from:next()
      assert.is_true(from:skip_to(9, 3))
      assert.same({ "dddd", 4 }, { from:next(), from.number })
    end
    local from = lines.new(source("a\n", 1))
    assert.same({ nil, "is shorter than it was" }, { from:skip_to(99, 3) })
  end)

  it("end with the source's failure", function()
    local from = lines.new(source("bad", 2))
    assert.is_nil((from:next()))
    assert.equal("broke", from.failure)
  end)
end)

describe("ndjson", function()
  it("reads objects, passes blank lines over, and says what is none", function()
    local from = ndjson.new(lines.new(source('{"a":1}\n \n[\n5\n{"b":2}', 7)))
    assert.same({ a = 1 }, (from:next()))
    local value, reason = from:next()
    assert.is_false(value)
    assert.truthy(reason:find("^not JSON: "), reason)
    assert.equal(3, from.number)
    assert.same({ false, "not a JSON object" }, { from:next() })
    assert.same({ b = 2 }, (from:next()))
    assert.same({ '{"b":2}', 5 }, { from.text, from:line() })
    assert.is_nil((from:next()))
    assert.same({ c = 3 }, ndjson.parse('{"c":3}'))
    assert.is_nil(ndjson.parse("x"))
  end)
end)
