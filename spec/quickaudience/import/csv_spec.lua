-- csv_spec.lua
-- Reads comma-separated values, clear and broken ones, and knows where each record ends.
-- Does not know columns.
-- SPDX-License-Identifier: MIT
local csv = require "quickaudience.import.csv"
local lines = require "quickaudience.import.lines"

-- A source of `text` in blocks of `size` bytes.
local function source(text, size)
  local at = 1
  return {
    read = function()
      local block = text:sub(at, at + size - 1)
      at = at + size
      return block ~= "" and block or nil
    end,
    skip_to = function(_, offset)
      at = offset + 1
      return true
    end,
  }
end

local function reader(text, size)
  return csv.new(lines.new(source(text, size or 5)), ",")
end

local function all(text, size)
  local records, from = {}, reader(text, size)
  local fields, count = from:next()
  while fields ~= nil do
    records[#records + 1] = fields and table.concat(fields, "|")
      or "!" .. from.number .. " " .. count
    fields, count = from:next()
  end
  return records
end

describe("csv", function()
  it("reads fields with and without quotes", function()
    for size = 1, 9 do
      assert.same({ "a|b|c", "|x|", 'a "q", b|2|', "1\n2|3" },
        all('a,b,c\r\n\n,x,\n"a ""q"", b",2,""\n"1\r\n2",3', size))
    end
  end)

  it("refuses what is not clear, one line at a time", function()
    assert.same({ "a|b", '!2 a quote inside a field without quotes', "c|d" },
      all('a,b\nx"y,1\nc,d\n'))
    assert.same({ "!1 text after a closing quote", "c|d" }, all('"a"b,1\nc,d\n'))
    assert.same({ "!1 a quoted field does not end", "c|d", "e|f" }, all('a,"b\nc,d\ne,f'))
    assert.same({ "!1 text after a closing quote", "!2 a quote inside a field without quotes",
      "e" }, all('"a\nb"x"\ne'))
  end)

  it("knows where each record ends, also after a broken one", function()
    local text = 'h,i\n"1\n2",3\n"broken\nx,y\nlast,1'
    local from, found = reader(text), {}
    while from:next() ~= nil do
      found[#found + 1] = from.number .. ":" .. from:line() .. ":" .. from:offset()
    end
    assert.same({ "1:1:4", "2:3:12", "4:4:20", "5:5:24", "6:6:30" }, found)
  end)

  it("goes on at an offset", function()
    local from = reader("a\nb\nc\nd\n", 3)
    from:next()
    assert.is_true(from:skip_to(4, 2))
    assert.same({ "c" }, (from:next()))
    assert.equal(3, from.number)
    from = reader('x,"\nb\nc\nd\n', 100)
    assert.is_false((from:next()))
    assert.is_true(from:skip_to(6, 2))
    assert.same({ "c" }, (from:next()))
  end)

  it("gives a record again when asked to", function()
    local from = reader("a,b\nc,d\n")
    from:again(from:next())
    assert.same({ "a", "b" }, (from:next()))
    assert.same({ "c", "d" }, (from:next()))
  end)
end)
