-- scheduler.lua
-- A scheduler of coroutines that sleeps until a time comes or client:fileno() is readable.
-- Does not know which service it talks to; the environment says, by default the local sandbox.
-- SPDX-License-Identifier: MIT
--
--   quickaudience sandbox           in another terminal
--   lua examples/scheduler.lua      needs LuaSocket for its select

local quickaudience = require "quickaudience"
local socket = require "socket"

local function environment(name, default)
  local value = os.getenv("QUICKAUDIENCE_" .. name)
  return value ~= "" and value or default
end

-- ---- the scheduler: coroutines that wait for a time, or for a descriptor ----

-- Coroutine to time, and coroutine to an object as select wants it.
local sleeping, waiting = {}, {}

local function sleep(seconds)
  sleeping[coroutine.running()] = socket.gettime() + seconds
  coroutine.yield()
end

local function wait_readable(descriptor)
  waiting[coroutine.running()] = { getfd = function() return descriptor end }
  coroutine.yield()
end

local function resume(task)
  sleeping[task], waiting[task] = nil, nil
  local ok, message = coroutine.resume(task)
  if not ok then error(debug.traceback(task, message), 0) end
end

local function spawn(work)
  resume(coroutine.create(work))
end

-- One round: sleeps until something is due, then resumes whatever is.
local function turn()
  local due, descriptors = math.huge, {}
  for _, time in pairs(sleeping) do due = math.min(due, time) end
  for _, object in pairs(waiting) do descriptors[#descriptors + 1] = object end
  local patience = due < math.huge and math.max(0, due - socket.gettime()) or nil
  local readable = socket.select(descriptors, nil, patience)
  local now, ready = socket.gettime(), {}
  for task, time in pairs(sleeping) do if time <= now then ready[#ready + 1] = task end end
  for task, object in pairs(waiting) do if readable[object] then ready[#ready + 1] = task end end
  for _, task in ipairs(ready) do resume(task) end
end

-- ---- what runs in it ----

local delivered, ended, wakes = 0, 0, 0

local client = assert(quickaudience.new {
  endpoint = environment("ENDPOINT", "http://127.0.0.1:9090"),
  app_id = environment("APP_ID", "demo-app"),
  access_key = environment("ACCESS_KEY", "demo-access-key"),
  access_secret = environment("ACCESS_SECRET", "demo-access-secret"),
  organization_id = environment("ORGANIZATION_ID", "demo-organization"),
  linger = 0.02,
  on_delivery = function(report)
    ended = ended + report.events
    if report.status == "delivered" then delivered = delivered + report.events end
  end,
})

local PLAYERS, TURNS = 5, 8

for player = 1, PLAYERS do
  spawn(function()
    for round = 1, TURNS do
      assert(client:report { customer_id = "player-" .. player, event_code = "turn_played",
        attributes = { round = round } })
      sleep(0.01 * player)
    end
  end)
end

-- Delivery reports: nobody asks whether there are any; the descriptor says so.
spawn(function()
  while true do
    wait_readable(client:fileno())
    wakes = wakes + 1
    client:poll()
  end
end)

while ended < PLAYERS * TURNS do turn() end
assert(client:close())
print(string.format("%d players, %d turns: %d delivered", PLAYERS, PLAYERS * TURNS, delivered))
assert(wakes <= ended + 1, "woken without a report")
