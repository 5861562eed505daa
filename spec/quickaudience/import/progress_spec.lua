-- progress_spec.lua
-- Looks at the progress line, with the time moved by hand.
-- Does not know terminals.
-- SPDX-License-Identifier: MIT
local progress = require "quickaudience.import.progress"

describe("progress", function()
  it("tells bar, rate, time left and refused lines", function()
    assert.equal("[#####...............]  25%  1,250 lines  100/s  ETA 0:30  3 refused",
      progress.line { lines = 1250, begun_at = 250, refused = 3, taken = 500, taken_before = 0,
        size = 2000, seconds = 10 })
    assert.equal("7 lines  0 refused",
      progress.line { lines = 7, begun_at = 0, refused = 0, taken = 5, taken_before = 0,
        seconds = 0 })
    assert.same({ "1,234,567", "12" }, { progress.grouped(1234567), progress.grouped(12) })
    assert.same({ "0:05", "1:02:05" }, { progress.clock(5), progress.clock(3725) })
  end)

  it("is written at most once a second, and wiped out", function()
    local text, now = "", 100
    local stream = { flush = function() end }
    function stream:write(...) text = text .. table.concat { ... } return self end
    local line = progress.new(stream, function() return now end)
    local state = { lines = 1, begun_at = 0, refused = 0, taken = 1, taken_before = 0 }
    line:show(state)
    line:show(state)
    assert.equal(1, select(2, text:gsub("\r", "")))
    now = 101
    line:show(state)
    assert.equal(2, select(2, text:gsub("\r", "")))
    line:clear()
    assert.equal("\r", text:sub(-1))
    local quiet = progress.new(nil)
    quiet:show(state)
    quiet:clear()
  end)
end)
