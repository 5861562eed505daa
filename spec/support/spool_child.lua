-- spool_child.lua
-- A process that reports numbered events at full speed with a spool, until it is killed.
-- Does not know who kills it, nor what arrives.
-- SPDX-License-Identifier: MIT
--
-- spool_child.lua SETTINGS NAME COUNT [SUCCESSORS]    (SETTINGS: a Lua file that returns a table)
-- Prints `saved N` when events 1..N of NAME are on disk or delivered; with a COUNT of 0 it only
-- finishes what others left, together with as many others, and prints `done`.

local quickaudience = require "quickaudience"
local socket = require "socket"

local settings, name, count = dofile(arg[1]), arg[2], tonumber(arg[3])
local others = tonumber(arg[4] or 1)
local client = assert(quickaudience.new(settings))
io.stdout:setvbuf("no")

-- Everything that others left has arrived: nothing is pending, and no file but the own one.
local function finish()
  repeat
    client:flush(0.05)
    socket.select(nil, nil, 0.02)
    local stats = client:stats()
    local idle = stats.pending.total == 0 and stats.spool.files <= others and stats.spool.files > 0
  until idle
  assert(client:close())
  print("done " .. client:stats().delivered)
end

if count == 0 then
  finish()
else
  local refused = 0
  for i = 1, count do
    local event = { customer_id = name .. "-" .. i, event_code = "pay_order" }
    while not client:report(event) do
      refused = refused + 1
      client:flush_to_disk(0.01)
    end
    if i % 250 == 0 and client:flush_to_disk(5) then print("saved " .. i) end
  end
  assert(client:flush(60))
  -- A sibling that was killed just now may have left more than there is time for.
  local ok, message = client:close()
  assert(ok or message:find("events are kept in the spool", 1, true), message)
end
