-- room.lua
-- One room's life in Lua: plays the rules, reports what happened within the frame's budget.
-- Does not know the rules; rules.lua is loaded again while the room lives on.
-- SPDX-License-Identifier: MIT

local quickaudience = require "quickaudience"

local WAITING = 16384 -- events that may wait for the budget; beyond, they are refused

local function environment(name, default)
  local value = os.getenv("QUICKAUDIENCE_" .. name)
  return value ~= "" and value or default
end

return function(host)
  local counts = { accepted = 0, refused = 0, delivered = 0, dead = 0, dropped = 0, late = 0,
    kept = 0, reloads = 0 }
  local outbox, first, waiting = {}, 0, 0
  local numbered = 0 -- the last event's number, where events are numbered
  local world = { room = host.room, events = host.events, players = {}, frame = 0 }
  local told -- the last complaint, so that it is told once

  local function complain(message)
    if message ~= told then
      told = message
      io.stderr:write("room ", host.room, ": ", message, "\n")
    end
  end

  -- Rooms of equal configuration share one sender: one thread and a few connections for all.
  local client = assert(quickaudience.new {
    endpoint = host.endpoint or environment("ENDPOINT", "http://127.0.0.1:9090"),
    app_id = environment("APP_ID", "demo-app"),
    access_key = environment("ACCESS_KEY", "demo-access-key"),
    access_secret = environment("ACCESS_SECRET", "demo-access-secret"),
    organization_id = environment("ORGANIZATION_ID", "demo-organization"),
    spool = host.spool,
    attributes = host.name and { server = host.name },
    on_delivery = function(report)
      counts[report.status] = counts[report.status] + report.events
      if report.status ~= "delivered" then complain(report.message) end
    end,
  })

  -- A ring, all of it made before the first frame: a table that grows costs a frame its time.
  for place = 0, WAITING - 1 do outbox[place] = false end

  -- What the rules call. It costs a table entry; reporting is done at the end of the frame.
  local function event(it)
    if waiting == WAITING then
      counts.refused = counts.refused + 1
      return
    end
    if host.save > 0 then
      numbered = numbered + 1
      it.attributes.number = numbered
    end
    outbox[(first + waiting) % WAITING] = it
    waiting = waiting + 1
  end

  local report = client.report

  -- What became of an event that was not accepted. False: it stays where it is, the queue is full.
  local function refuse(message, code)
    complain(message)
    if code == "QUEUE_FULL" or code == "SPOOL_FULL" then return false end
    counts.refused = counts.refused + 1
    return true
  end

  -- Reports the oldest events, `most` at most. False: the queue is full.
  local function report_some(most)
    local place, accepted, went = first, 0, true
    for _ = 1, most < waiting and most or waiting do
      local ok, message, code = report(client, outbox[place])
      if ok then accepted = accepted + 1
      elseif not refuse(message, code) then
        went = false
        break
      end
      outbox[place] = false
      place = (place + 1) % WAITING
    end
    waiting = waiting - (place - first) % WAITING
    first = place
    counts.accepted = counts.accepted + accepted
    return went
  end

  local room, rules = {}, nil

  -- New rules with the old world: players stay, and so do the client and what waits in it. Broken
  -- rules are told of, and the old ones go on.
  function room.reload()
    local chunk, message = loadfile(host.scripts .. "/rules.lua")
    local ok, loaded
    if chunk then
      ok, loaded = pcall(chunk)
      if not ok then message = loaded end
    end
    if not ok then
      complain(tostring(message))
      return
    end
    if rules then counts.reloads = counts.reloads + 1 end
    rules = loaded
  end

  function room.frame(seconds)
    world.frame = world.frame + 1
    rules.frame(world, seconds, event)
  end

  -- The clock is asked every few events: asking costs a part of a report.
  function room.send(budget)
    local deadline = host.clock() + budget
    client:poll()
    repeat until waiting == 0 or not report_some(10) or host.clock() >= deadline
    counts.late = counts.late + waiting
  end

  -- What a server does that saves its world now and then: what the world remembers has to be
  -- reported too, whatever happens next. It waits for the disk, so it costs a frame; and what it
  -- says is what may be relied upon after a kill.
  function room.save()
    if report_some(WAITING) and client:flush_to_disk(5) then
      io.write(("room %d saved %d\n"):format(host.room, numbered)) -- in one piece: rooms are many
    else
      complain("not saved")
    end
  end

  -- Nobody waits for a frame any more, so this may take its time.
  function room.close()
    rules.finish(world, event)
    while waiting > 0 do
      if not report_some(WAITING) and not client:flush(10) then
        counts.refused = counts.refused + waiting
        break
      end
    end
    -- With a spool there is no need to wait for a service that is away: the next start delivers.
    local ok, message = client:close(host.spool and 3 or 30)
    if not ok then complain(message) end
    if host.spool then -- there, or still on its way for a room that closes later
      counts.kept = counts.accepted - counts.delivered - counts.dead - counts.dropped
    end
    return counts
  end

  -- Before the first frame: says what is wrong with the service, and starts what starts late.
  local ready, message = client:check()
  if not ready then complain(message) end
  room.reload()
  assert(rules, "there are no rules to start with")
  return room
end
