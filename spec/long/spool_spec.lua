-- spool_spec.lua
-- The spool's crash tests at length: hundreds of kills, a minute of siblings, a long outage.
-- Does not know how anything is written.
-- SPDX-License-Identifier: MIT

local quickaudience = require "quickaudience"
local socket = require "socket"
local spool_crash = require "spec.support.spool_crash"

describe("the spool, at length", function()
  local world

  setup(function() world = spool_crash.start() end)
  teardown(function() world:stop() end)
  before_each(function() world:again() end)

  local function nothing_is_missing(successors)
    world:finish(successors)
    local missing, twice = world:look()
    assert.equal("", missing)
    assert.equal("", world:files())
    return twice
  end

  it("survives 300 kills", function()
    for _ = 1, 30 do
      world:again()
      for round = 1, 10 do
        local seconds = round % 3 == 0 and math.random(5, 40) or math.random(30, 300)
        assert.equal("", world:kill({ seconds / 1000 }, 100000))
      end
      local twice = nothing_is_missing()
      assert.truthy(twice <= world.kills * world.IN_FLIGHT, twice)
    end
  end)

  it("is shared by four processes, one of which is killed every second for a minute", function()
    for _ = 1, 15 do
      world:again()
      assert.equal("", world:kill({ 1, 2, 3, 4 }, 100000))
      local twice = nothing_is_missing(2)
      assert.truthy(twice <= world.kills * world.IN_FLIGHT, twice)
    end
  end)

  it("takes in 200 000 events while the service is away, within its memory", function()
    world.sandbox:reset()
    world.sandbox:faults { { status = 503, times = "forever" } }
    local settings = {}
    for name, value in pairs(world.settings) do settings[name] = value end
    local client = assert(quickaudience.new(settings))
    for i = 1, 200000 do
      local event = { customer_id = "u-" .. i, event_code = "pay_order" }
      while not client:report(event) do client:flush_to_disk(0.01) end
      if i % 1000 == 0 then
        local stats = client:stats()
        local held = stats.accepted - stats.spool.on_disk_only
        assert.truthy(held <= settings.queue_events, held)
      end
    end
    world.sandbox:clear_faults()
    local limit = socket.gettime() + 120
    while client:stats().pending.total > 0 and socket.gettime() < limit do client:flush(1) end
    assert.equal(200000, client:stats().delivered)
    assert(client:close())
    assert.equal(200000, world.sandbox:all().events.distinct)
    assert.equal("", world:files())
    -- Oldest first, but for what is in flight at the same time.
    local highest = 0
    for _, kept in ipairs(world.sandbox:events()) do
      local number = tonumber(kept.event.customerId:match("%d+"))
      assert.truthy(number > highest - world.IN_FLIGHT, number)
      highest = math.max(highest, number)
    end
  end)
end)
