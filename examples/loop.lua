-- loop.lua
-- A host with a loop of its own, such as a game server: reports as it goes, polls once a round.
-- Does not know which service it talks to; the environment says, by default the local sandbox.
-- SPDX-License-Identifier: MIT
--
--   quickaudience sandbox              in another terminal
--   lua examples/loop.lua [ROUNDS]     40 by default; Ctrl-C ends it sooner

local quickaudience = require "quickaudience"

local rounds = tonumber(arg[1] or 40)
if not rounds or rounds < 1 then
  io.stderr:write("usage: lua examples/loop.lua [ROUNDS]\n")
  os.exit(2)
end

local function environment(name, default)
  local value = os.getenv("QUICKAUDIENCE_" .. name)
  return value ~= "" and value or default
end

local ended = { delivered = 0, dead = 0, dropped = 0 }

-- Called from poll, flush and close only: on this thread, between two rounds, never in the middle
-- of something.
local function on_delivery(report)
  ended[report.status] = ended[report.status] + report.events
  if report.status ~= "delivered" then
    print(string.format("%d %s (%s): %s", report.events, report.status, report.code,
      report.message))
  end
end

local client = assert(quickaudience.new {
  endpoint = environment("ENDPOINT", "http://127.0.0.1:9090"),
  app_id = environment("APP_ID", "demo-app"),
  access_key = environment("ACCESS_KEY", "demo-access-key"),
  access_secret = environment("ACCESS_SECRET", "demo-access-secret"),
  organization_id = environment("ORGANIZATION_ID", "demo-organization"),
  on_delivery = on_delivery,
})

-- The work of a round. report() takes about a microsecond and never waits, whatever the network
-- does; when it says no, the game goes on and the refusal is counted.
local refused = 0
local function play(round)
  for player = 1, 25 do
    local ok = client:report {
      customer_id = "player-" .. player,
      event_code = "shot_fired",
      attributes = { round = round, weapon = player % 2 == 0 and "bow" or "sling" },
    }
    if not ok then refused = refused + 1 end
  end
end

-- Stands for the host's own clock. A host with an event loop need not poll every round: it can wait
-- for client:fileno() to turn readable. False when Ctrl-C ended it.
local function wait_for_next_round()
  local ok = os.execute("sleep 0.05")
  return ok == true or ok == 0 -- Lua 5.1 returns the status
end

local played = 0
repeat
  played = played + 1
  play(played)
  client:poll()
until played == rounds or not wait_for_next_round()

local done, message = client:close(5)
if not done then print(message) end
print(string.format("%d rounds: %d delivered, %d dead, %d dropped, %d refused at the call", played,
  ended.delivered, ended.dead, ended.dropped, refused))
os.exit(done and 0 or 1)
