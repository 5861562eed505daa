-- spool_spec.lua
-- Checks what survives: processes are killed at random, services and disks go away and come back.
-- Does not know how anything is written.
-- SPDX-License-Identifier: MIT

local quickaudience = require "quickaudience"
local socket = require "socket"
local spool_crash = require "spec.support.spool_crash"

local AWAY = { { status = 503, times = "forever" } }
local MIB = 1024 * 1024

describe("the spool", function()
  local world, clients

  setup(function() world = spool_crash.start() end)
  teardown(function() world:stop() end)
  before_each(function()
    world:again()
    clients = {}
  end)
  after_each(function()
    for _, client in ipairs(clients) do client:close(0) end
    os.execute("rm -rf '" .. world.directory .. "'")
  end)

  local function new_client(changes)
    local settings = {}
    for name, value in pairs(world.settings) do settings[name] = value end
    for name, value in pairs(changes or {}) do settings[name] = value end
    local client = assert(quickaudience.new(settings))
    clients[#clients + 1] = client
    return client
  end

  local function report(client, from, to)
    for i = from, to do
      local event = { customer_id = "u-" .. i, event_code = "pay_order" }
      while not client:report(event) do client:flush_to_disk(0.01) end
    end
  end

  local function balanced(stats)
    local dropped = 0
    for _, count in pairs(stats.dropped) do dropped = dropped + count end
    return stats.accepted == stats.delivered + stats.dead + dropped + stats.pending.total
  end

  -- Flushes until nothing of others is left either.
  local function finish(client)
    assert(client:flush(20))
    local limit = socket.gettime() + 20
    repeat
      client:flush(0.1)
      socket.select(nil, nil, 0.01)
      assert.is_true(balanced(client:stats()))
      assert.truthy(socket.gettime() < limit, "others' events don't end")
    until client:stats().spool.files == 1 and client:stats().pending.total == 0
  end

  it("costs no disk write while the service answers in time", function()
    world.sandbox:clear_faults()
    -- A directory of its own: there is nothing in it to adopt. And so large a queue that it never
    -- fills up to where memory, not time, asks for a commit.
    local client = new_client { commit_interval = 10, spool = world.root .. "/healthy",
      queue_events = 100000 }
    report(client, 1, 1000)
    assert(client:flush(10))
    assert.equal(0, client:stats().spool.commits)
    assert(client:close())
  end)

  it("commits what a silent service does not acknowledge, for a next life to deliver", function()
    world.sandbox:faults(AWAY)
    local client = new_client()
    report(client, 1, 700)
    assert(client:flush_to_disk(10))
    local stats = client:stats()
    assert.is_true(balanced(stats))
    assert.truthy(stats.spool.commits > 0)
    local ok, message, code, remaining = client:close(0)
    assert.is_nil(ok)
    assert.truthy(message:find("700 events are kept in the spool", 1, true), message)
    assert.equal("TIMEOUT", code)
    assert.equal(700, remaining)
    assert.equal(0, client:stats().dropped.closed)
    world.sandbox:clear_faults()
    client = new_client()
    finish(client)
    assert.equal(700, client:stats().spool.adopted)
    assert.equal(700, client:stats().delivered)
    assert(client:close())
    assert.equal(700, world.sandbox:all().events.distinct)
    assert.equal("", world:files())
  end)

  it("takes in what memory cannot hold, in order", function()
    world.sandbox:faults(AWAY)
    local client, most = new_client { queue_events = 2000, max_in_flight = 1 }, 0
    for from = 1, 20000, 1000 do
      report(client, from, from + 999)
      local stats = client:stats()
      assert.is_true(balanced(stats))
      most = math.max(most, stats.accepted - stats.spool.on_disk_only)
    end
    assert.truthy(most <= 2000, most)
    world.sandbox:clear_faults()
    finish(client)
    assert.equal(20000, client:stats().delivered)
    assert(client:close())
    local events = world.sandbox:events()
    assert.equal(20000, #events)
    for i, kept in ipairs(events) do
      assert.equal("u-" .. i, kept.event.customerId)
    end
  end)

  it("says SPOOL_FULL at its bound, keeps what is there, and recovers", function()
    world.sandbox:faults(AWAY)
    local client, accepted = new_client { spool_max_bytes = MIB, queue_events = 100000 }, 0
    local text, code, message = ("x"):rep(1000), nil, nil
    while code ~= "SPOOL_FULL" and accepted < 50000 do
      local ok
      ok, message, code = client:report { customer_id = "u-" .. accepted + 1, event_code = "e",
        attributes = { text = text } }
      if ok then
        accepted = accepted + 1
      elseif code == "QUEUE_FULL" then
        client:flush_to_disk(0.01)
      end
      if accepted % 100 == 0 then client:flush_to_disk(0.1) end
    end
    assert.equal("SPOOL_FULL", code)
    assert.truthy(message:find("^spool"), message)
    assert.equal("full", client:stats().spool.state)
    world.sandbox:clear_faults()
    finish(client)
    assert.equal(accepted, client:stats().delivered)
    local limit = socket.gettime() + 10
    while client:stats().spool.state ~= "ok" and socket.gettime() < limit do
      client:flush(0.1)
    end
    assert(client:report { customer_id = "after", event_code = "e" })
    assert(client:close())
    assert.equal(accepted + 1, world.sandbox:all().events.distinct)
  end)

  it("survives being killed at any moment", function()
    for round = 1, 8 do
      local seconds = round % 3 == 0 and math.random(5, 40) or math.random(30, 250)
      assert.equal("", world:kill({ seconds / 1000 }, 100000))
    end
    world:finish()
    local missing, twice = world:look()
    assert.equal("", missing)
    assert.truthy(twice <= world.kills * world.IN_FLIGHT, twice)
    assert.equal("", world:files())
  end)

  it("is shared by processes, of which some are killed and others adopt", function()
    assert.equal("", world:kill({ 0.2, 0.1, 0.3 }, 100000))
    assert.equal("", world:kill({ 0.05, 0.05 }, 0)) -- inside adoption
    world:finish(2)
    local missing, twice = world:look()
    assert.equal("", missing)
    assert.truthy(twice <= world.kills * world.IN_FLIGHT, twice)
    assert.equal("", world:files())
  end)

  it("keeps dead letters with their reason", function()
    world.sandbox:clear_faults()
    world.sandbox:faults { reject_customer_ids = { "u-7" } }
    local client = new_client()
    report(client, 1, 20)
    assert(client:flush(10))
    assert(client:flush_to_disk(5))
    assert.equal(1, client:stats().dead)
    assert(client:close())
    assert.not_equal("", world:files())
    client = new_client { commit_interval = 0.01 }
    while #client:dead() == 0 do client:flush_to_disk(0.1) end
    local letter = client:dead()[1]
    assert.truthy(letter.event:find('"u-7"', 1, true))
    assert.equal("REJECTED", letter.code)
  end)
end)
