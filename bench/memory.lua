--- memory.lua
-- What a queued event costs in memory, and whether memory stays flat over a long stream.
-- Does not know how the queue is built.
-- SPDX-License-Identifier: MIT
--
-- memory.lua ENDPOINT [EVENTS]
local quickaudience = require "quickaudience"
local rows = require "bench.rows"
local sample = require "bench.sample"
local tools = require "bench_tools"

local endpoint = arg[1]
local total = tonumber(arg[2]) or 10000000
local WARM_UP, QUEUED = 10000, 80000

local function new_client(url, queue_events)
  return assert(quickaudience.new {
    endpoint = url, app_id = "bench", access_key = "bench", access_secret = "bench",
    organization_id = sample.ORGANIZATION_ID,
    queue_events = queue_events, queue_bytes = 512 * 1024 * 1024,
  })
end

local function settled_heap()
  collectgarbage()
  collectgarbage()
  return tools.heap()
end

local function report_many(client, events, count)
  for i = 1, count do
    assert(client:report(events[i % #events + 1]))
  end
  tools.pause(0.5) -- the last chunk closes by its linger
end

-- Nobody listens on port 1, so everything stays queued.
local function cost_of_queued(name, events)
  local bytes = 0
  for i = 1, QUEUED do
    bytes = bytes + #quickaudience.encode(events[i % #events + 1])
  end
  local client = new_client("http://127.0.0.1:1", WARM_UP + QUEUED)
  report_many(client, events, WARM_UP)
  local before = settled_heap()
  report_many(client, events, QUEUED)
  local cost = (settled_heap() - before) / QUEUED
  client:close(0)
  rows.print {
    figure = ("memory: bytes over its own per queued event, %s"):format(name),
    ours = ("%.1f bytes"):format(cost), yardstick = ("%.1f bytes"):format(bytes / QUEUED),
    value = cost - bytes / QUEUED, target = 32, digits = 1,
  }
end

-- The greatest resident size of a fifth of the stream, looked at in 200 places; the first tenth is
-- warm-up. How full the queue happens to be is worth a megabyte, so 5 % is flat: over what lies
-- between the two, that is a byte in eight events.
local function growth_over_stream(events)
  local client = new_client(endpoint, 20000)
  local early, late = 0, 0
  for i = 1, total do
    while not client:report(events[i % #events + 1]) do
      tools.pause(0.002)
    end
    if i % (total / 200) == 0 then
      local place = i / (total / 200)
      if place > 160 then
        late = math.max(late, tools.resident())
      elseif place > 20 and place <= 60 then
        early = math.max(early, tools.resident())
      end
    end
  end
  assert(client:flush(120))
  assert(client:stats().delivered == total, "not all events were delivered")
  assert(client:close(30))
  rows.print {
    figure = ("memory: resident size after %.0f million events, vs after a fifth"):format(
      total / 1e6),
    ours = ("%.1f MiB"):format(late / 1048576), yardstick = ("%.1f MiB"):format(early / 1048576),
    value = late / early, target = 1.05, digits = 3,
  }
end

local orders, clicks = sample.orders(250), sample.clicks(250)
cost_of_queued("order", orders)
cost_of_queued("click", clicks)
growth_over_stream(orders)
