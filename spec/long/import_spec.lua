-- import_spec.lua
-- Kills an import fifty times, in every shape an input can have, and counts what arrived.
-- Does not know the journal.
-- SPDX-License-Identifier: MIT
local cjson = require "cjson"
local command = require "support.command"
local sandbox = require "support.sandbox"
local shell = require "support.shell"

local TOTAL, KILLS, BATCH, STRETCHES = 100000, 50, 50, 16
local BROKEN_EVERY = 1000 -- lines
local REJECTED = { "u11", "u15000", "u99999" } -- by the service

-- The lines of an input, broken ones among them, and the numbers of those that are refused.
local function ndjson()
  local list, refused, number = {}, {}, 0
  for line in command.events(TOTAL):gmatch("[^\n]+") do
    number = number + 1
    list[#list + 1] = line
    if number % BROKEN_EVERY == 0 then
      list[#list + 1] = "broken"
      refused[#refused + 1] = #list
    end
  end
  return table.concat(list, "\n") .. "\n", refused
end

-- Fields with line ends in them: a stretch may begin on any line of a record but the first.
local function csv()
  local list, refused, line = { "customer_id,event_code,event_time,note\n" }, {}, 1
  for i = 1, TOTAL do
    local note = i % 7 == 0 and '"two\nlines, ""quoted"""' or ""
    list[#list + 1] = ("u%d,visit,%.0f,%s\n"):format(i, 1708235644000 + i, note)
    line = line + (i % 7 == 0 and 2 or 1)
    if i % BROKEN_EVERY == 0 then
      list[#list + 1] = "u0,visit\n"
      line = line + 1
      refused[#refused + 1] = line
    end
  end
  return table.concat(list), refused
end

describe("an import that is killed fifty times", function()
  local box, folder

  setup(function()
    box = sandbox.start { args = { "--keep", "1" } }
    folder = shell.folder()
  end)

  teardown(function()
    box:stop()
    shell.check("rm -rf " .. folder)
  end)

  before_each(function() box:reset() end)

  local function refused_lines(path)
    local numbers = {}
    for line in (command.read_file(path .. ".refused") or ""):gmatch("[^\n]+") do
      numbers[#numbers + 1] = cjson.decode(line).line
    end
    table.sort(numbers)
    return numbers
  end

  local function import(name, text, packed, total)
    local path = command.write_file(folder .. "/" .. name, text)
    if packed then
      shell.check("gzip -f " .. path)
      path = path .. ".gz"
    end
    local counts, output, in_time = command.import_with_kills(box, path, total, KILLS,
      { "--batch-events", tostring(BATCH), "--retry-base", "5ms", "--retry-max", "20ms" })
    local twice = counts.valid - counts.distinct
    assert.truthy(twice <= KILLS * STRETCHES * BATCH, twice)
    print(("# %s: %d of %d kills in time, %d events arrived twice"):format(name, in_time, KILLS,
      twice))
    assert.truthy(in_time > KILLS * 0.8, output)
    return counts, path, output
  end

  for _, shape in ipairs {
    { name = "a.ndjson", make = ndjson },
    { name = "b.ndjson", make = ndjson, packed = true },
    { name = "c.csv", make = csv },
    { name = "d.csv", make = csv, packed = true },
  } do
    it("has every line in the end, and each refused one once: " .. shape.name
      .. (shape.packed and ", from gzip" or ""), function()
      local text, refused = shape.make()
      local counts, path, output = import(shape.name, text, shape.packed, TOTAL)
      assert.equal(TOTAL, counts.distinct)
      assert.same(refused, refused_lines(path))
      local sums = ("100,000 delivered, %d refused"):format(#refused)
      assert.truthy(output:find(sums, 1, true), output)
    end)
  end

  it("has every line in the end while the service fails and refuses", function()
    box:faults { faults = { { status = 503, probability = 0.2, times = "forever" } },
      reject_customer_ids = REJECTED }
    local total = TOTAL - #REJECTED
    local counts, path = import("e.ndjson", command.events(TOTAL) .. "broken\n", false, total)
    assert.equal(total, counts.distinct)
    assert.same({ 11, 15000, 99999, TOTAL + 1 }, refused_lines(path))
  end)
end)
