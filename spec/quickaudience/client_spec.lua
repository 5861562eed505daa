--- client_spec.lua
-- Checks life-cycle, delivery reports, waiting inside nginx, and misuse.
-- Does not know what the service answers; mostly nobody does.
-- SPDX-License-Identifier: MIT

local quickaudience = require "quickaudience"
local sandboxes = require "spec.support.sandbox"
local socket = require "socket"

local EVENT = { customer_id = "u-42", event_code = "pay_order" }

describe("client", function()
  local sandbox

  setup(function() sandbox = sandboxes.start() end)
  teardown(function() sandbox:stop() end)
  before_each(function() sandbox:reset() end)

  -- A client of the sandbox, or with `endpoint` of nobody.
  local function new_client(changes)
    local settings = { endpoint = sandbox.url, organization_id = sandbox.organization_id,
      app_id = sandbox.credentials.app_id, access_key = sandbox.credentials.access_key,
      access_secret = sandbox.credentials.access_secret }
    for name, value in pairs(changes or {}) do settings[name] = value end
    return assert(quickaudience.new(settings))
  end

  local NOBODY = "http://127.0.0.1:1"

  local function report_many(client, count)
    for i = 1, count do assert(client:report { customer_id = "u" .. i, event_code = "e" }) end
  end

  -- ---- life-cycle -------------------------------------------------------------------------------

  it("reports, flushes and closes", function()
    local client = new_client()
    report_many(client, 500)
    assert.is_true(client:flush(10))
    assert.equal(500, #sandbox:events())
    report_many(client, 10)
    assert.is_true(client:close(10))
    assert.equal(510, #sandbox:events())
    assert.equal("quickaudience.client: " .. sandbox.url .. " (closed)", tostring(client))
  end)

  -- ---- events of one shape, for hooks -----------------------------------------------------------

  local SHAPE = { { "event_code" }, { "customer_id" }, { "event_time" }, { "is_order" },
    { "attributes", "sku" }, { "attributes", "amount" }, { "attributes", "items" },
    { "customer_ids", "MOBILE" }, { "customer_ids", "OPEN_ID" }, { "entity_id" } }

  it("makes the same of values in a row as of a table", function()
    local client = new_client { attributes = { app = "shop", sku = "none" } }
    local report, time = client:_reporter(SHAPE), 1708235644862
    assert.is_true(report("pay_order", "u-1", time, true, 'A "1"', 12.5, { { id = "p" } }, "139",
      { "o1", "o2" }, "car"))
    assert(client:report { event_code = "pay_order", customer_id = "u-1", event_time = time,
      is_order = true, attributes = { sku = 'A "1"', amount = 12.5, items = { { id = "p" } } },
      customer_ids = { MOBILE = "139", OPEN_ID = { "o1", "o2" } }, entity_id = "car" })
    assert.is_true(report("view", "u-2", time, nil, "", false, nil, "", nil, nil))
    assert(client:report { event_code = "view", customer_id = "u-2", event_time = time,
      attributes = { amount = false } })
    assert.is_true(report("view", "u-3", time))
    assert(client:report { event_code = "view", customer_id = "u-3", event_time = time })
    assert(client:close(10))
    local events = sandbox:events { valid = true }
    assert.equal(6, #events)
    for i = 1, 6, 2 do
      local left, right = events[i].event, events[i + 1].event
      for _, event in ipairs { left, right } do
        table.sort(event.customerIdList or {}, function(a, b)
          return a.customerId < b.customerId
        end)
      end
      assert.same(right, left)
    end
  end)

  it("refuses a wrong value in a row with its path", function()
    local client = new_client { endpoint = NOBODY }
    local report = client:_reporter(SHAPE)
    for text, values in pairs {
      ["event.customer_id: missing"] = { "e" },
      ["event.event_code: expected a string, got a number"] = { 7, "u" },
      ["event.event_time: expected milliseconds since 1970, 1708235644 looks like seconds"] =
        { "e", "u", 1708235644 },
      ["event.attributes.amount: not a finite number"] = { "e", "u", nil, nil, nil, 0 / 0 },
      ["event.attributes.sku: expected a string, number, boolean or table, got a function"] =
        { "e", "u", nil, nil, print },
      ["event.customer_ids.MOBILE: expected a string"] = { "e", "u", nil, nil, nil, nil, nil, 7 },
    } do
      local ok, message, code = report((table.unpack or unpack)(values, 1, 8))
      assert.is_nil(ok)
      assert.equal("INVALID_EVENT", code)
      assert.truthy(message:find(text, 1, true), message)
    end
    assert.equal(0, client:stats().accepted)
    for _, wrong in ipairs { { { "custmer_id" } }, { { "attributes" } }, { { "event_code", "x" } },
      { "event_code" }, { { "extra", "x" } }, { {} } } do
      assert.has_error(function() client:_reporter(wrong) end)
    end
    client:close(0)
    assert.has_error(function() report("e", "u") end, "the client is closed")
  end)

  it("closes with a time limit, and says how many were left", function()
    local client = new_client { endpoint = NOBODY }
    report_many(client, 7)
    local ok, message, code, remaining = client:close(0.1)
    assert.is_nil(ok)
    assert.truthy(message:find("^close: 7 events .*; network: cannot connect to 127%.0%.0%.1:1"),
      message)
    assert.equal("TIMEOUT", code)
    assert.equal(7, remaining)
    local stats = client:stats()
    assert.equal(7, stats.dropped.closed)
    assert.equal(stats.accepted, stats.dropped.closed)
    assert.is_true(client:close())
    assert.is_true(client:close(5))
  end)

  it("keeps close_timeout when it is told no time", function()
    local client = new_client { endpoint = NOBODY, close_timeout = 0.1 }
    report_many(client, 1)
    local start = socket.gettime()
    local _, _, code = client:close()
    assert.equal("TIMEOUT", code)
    assert.truthy(socket.gettime() - start < 1.5)
  end)

  it("is closed by the collector and by the end of a scope", function()
    do
      local client = new_client()
      report_many(client, 3)
      client = nil -- luacheck: ignore 311
    end
    collectgarbage()
    collectgarbage()
    assert.truthy(select(2, sandbox:wait { events = 3 })) -- nobody waited for it
    if _VERSION ~= "Lua 5.4" then return end
    local chunk = assert(load("local client <close> = ...; "
      .. "client:report { customer_id = 'u', event_code = 'e' }; return client"))
    local client = chunk(new_client())
    assert.truthy(tostring(client):find("(closed)", 1, true))
    assert.equal(4, #sandbox:events())
  end)

  it("raises on a closed client, but still tells figures and reports", function()
    local client = new_client { endpoint = NOBODY, on_delivery = function() end }
    report_many(client, 1)
    local batch = client:batch()
    client:close(0)
    for _, call in ipairs { "report", "send", "batch", "flush", "flush_to_disk", "fileno", "dead",
      "check" } do
      assert.has_error(function() client[call](client, {}) end)
      local _, message = pcall(client[call], client, not call:find("^flush") and EVENT or nil)
      assert.truthy(tostring(message):find("the client is closed", 1, true), call)
    end
    for _, call in ipairs { "add", "send", "report" } do
      assert.has_error(function() batch[call](batch, EVENT) end)
    end
    assert.has_error(function() client:set_credentials { app_id = "a" } end)
    assert.equal(1, client:stats().accepted)
    assert.truthy(client:prometheus():find("events_accepted_total 1\n", 1, true))
    assert.equal(0, client:poll())
    assert.truthy(tostring(client))
  end)

  it("raises on wrong arguments", function()
    local client = new_client { endpoint = NOBODY }
    for _, call in ipairs { "flush", "close", "flush_to_disk" } do
      for _, value in ipairs { "x", -1, 0 / 0, {} } do
        assert.has_error(function() client[call](client, value) end)
      end
    end
    for _, value in ipairs { "x", -1, 0 / 0, {} } do
      assert.has_error(function() client:poll(value) end)
    end
    for _, value in ipairs { "x", 7, true } do
      assert.has_error(function() client:report(value) end)
      assert.has_error(function() client:send(value) end)
      assert.has_error(function() client:set_credentials(value) end)
      assert.has_error(function() client:prometheus(value) end)
      assert.has_error(function() client:batch():add(value) end)
    end
    client:close(0)
  end)

  it("says that it has no spool", function()
    local client = new_client { endpoint = NOBODY }
    assert.same({ nil, "flush_to_disk: needs a spool", "CONFIG" }, { client:flush_to_disk() })
    client:close(0)
  end)

  it("flushes with a time limit, and goes on delivering", function()
    sandbox:faults { status = 503, times = 2, retry_after = 1 }
    local client = new_client { retry_base = 0.001, retry_max = 0.001 }
    report_many(client, 3)
    local ok, message, code, remaining = client:flush(0.3)
    assert.is_nil(ok)
    assert.truthy(message:find("^flush: 3 events not delivered yet; service answered 503"), message)
    assert.equal("TIMEOUT", code)
    assert.equal(3, remaining)
    ok, message, code, remaining = client:flush(0)
    assert.is_nil(ok)
    assert.truthy(message:find("^flush: 3 events"))
    assert.equal("TIMEOUT", code)
    assert.equal(3, remaining)
    assert.is_true(client:flush())
    assert.is_true(client:flush(0))
    assert.equal(3, #sandbox:events())
    client:close(0)
  end)

  -- ---- delivery reports -------------------------------------------------------------------------

  it("hands each report over once, from poll, flush and close only", function()
    local total, calls = 0, 0
    local client
    client = new_client { on_delivery = function(report)
      assert.equal("delivered", report.status)
      assert.is_false(report.possibly_stored)
      assert.truthy(#report.trace_id > 0)
      assert.is_nil(report.code)
      assert.is_nil(report.message)
      total, calls = total + report.events, calls + 1
    end, batch_events = 10, linger = 0 }
    report_many(client, 95)
    assert(sandbox:wait { events = 95, timeout = 10 })
    assert.equal(0, calls)
    local handed = 0
    while total < 95 do
      local reports = { getfd = function() return client:fileno() end }
      assert.equal(reports, socket.select({ reports }, nil, 10)[1])
      handed = handed + client:poll()
    end
    assert.equal(calls, handed)
    assert.equal(0, client:poll())
    report_many(client, 5)
    assert.is_true(client:flush(10))
    assert.equal(100, total)
    report_many(client, 5)
    assert.is_true(client:close(10))
    assert.equal(105, total)
  end)

  it("hands over no more than it is told", function()
    local client = new_client { endpoint = NOBODY, on_delivery = function() end,
      delivery_deadline = 0.1, retry_max = 0.01 }
    report_many(client, 1)
    assert.equal(0, client:poll(0))
    assert.is_nil((client:close(0)))
    assert.equal(0, client:poll(5))
  end)

  it("loses no report when on_delivery raises", function()
    local events = 0
    local client = new_client { batch_events = 1, on_delivery = function(report)
      events = events + report.events
      error(report.events == 1 and "first reason" or "second reason")
    end }
    report_many(client, 3)
    assert(sandbox:wait { events = 3, timeout = 10 })
    local count, message = 0, nil
    while events < 3 do
      local some, text = client:poll(1)
      count, message = count + some, message or text
    end
    assert.truthy(message:find("reason", 1, true))
    assert.equal(client:stats().on_delivery_errors, count)
    report_many(client, 1)
    assert.is_true(client:flush(10))
    assert.equal(4, events)
    assert.truthy(client:stats().on_delivery_error:find("first reason", 1, true))
    assert.truthy(client:prometheus():find("on_delivery_errors_total " .. count + 1, 1, true))
    report_many(client, 1)
    assert.is_true(client:close(10))
    assert.equal(5, events)
  end)

  it("stands an on_delivery that calls the client", function()
    local client, events = nil, 0
    client = new_client { on_delivery = function(report)
      events = events + report.events
      if events < 5 then assert(client:report(EVENT)) end
      client:poll()
      client:stats()
      if events == 5 then client:close(5) end
    end }
    assert(client:report(EVENT))
    while events < 5 do client:flush(10) end
    assert.equal(5, #sandbox:events())
    assert.is_true(client:close())
  end)

  it("reports what was dropped or refused, with the reason", function()
    local reports = {}
    local function keep(report) reports[#reports + 1] = report end
    local client = new_client { endpoint = NOBODY, on_delivery = keep }
    report_many(client, 3)
    client:close(0.1)
    assert.equal(1, #reports)
    assert.equal("dropped", reports[1].status)
    assert.equal(3, reports[1].events)
    assert.equal("CLOSED", reports[1].code)
    assert.truthy(#reports[1].message > 10)

    reports = {}
    sandbox:faults { reject_customer_ids = { "u2" } }
    client = new_client { on_delivery = keep }
    report_many(client, 4)
    assert.is_true(client:flush(10))
    local by_status = {}
    for _, report in ipairs(reports) do
      by_status[report.status] = (by_status[report.status] or 0) + report.events
      if report.status == "dead" then assert.equal("REJECTED", report.code) end
    end
    assert.same({ delivered = 3, dead = 1 }, by_status)
    local letters = client:dead()
    assert.equal(1, #letters)
    assert.truthy(letters[1].event:find('"customerId":"u2"', 1, true))
    assert.equal("REJECTED", letters[1].code)
    assert.truthy(letters[1].attempts >= 1 and letters[1].time > 1.5e12)
    assert.equal(0, #client:dead(0))
    client:close(0)
  end)

  it("balances its ledger", function()
    -- A configuration of its own: equal ones share a sender, and so its counts.
    local client = new_client { on_delivery = function() end, linger = 0.19 }
    for _ = 1, 50 do
      report_many(client, 20)
      local stats = client:stats()
      assert.equal(stats.accepted, stats.delivered + stats.dead + stats.dropped.deadline
        + stats.dropped.closed + stats.pending.total)
      assert.equal(stats.pending.total,
        stats.pending.queued + stats.pending.spooled + stats.pending.in_flight)
    end
    assert.is_true(client:close(10))
    assert.equal(1000, client:stats().delivered)
  end)

  it("refuses what the queue has no room for", function()
    local client = new_client { endpoint = NOBODY, queue_events = 3, batch_bytes = 1024,
      queue_bytes = 4096 }
    report_many(client, 3)
    local ok, message, code = client:report(EVENT)
    assert.is_nil(ok)
    assert.truthy(message:find("3 events", 1, true), message)
    assert.equal("QUEUE_FULL", code)
    ok, message, code = client:report { customer_id = ("x"):rep(2000), event_code = "e" }
    assert.is_nil(ok)
    assert.truthy(message:find("1024", 1, true), message)
    assert.equal("INVALID_EVENT", code)
    client:close(0)
  end)

  -- ---- inside nginx -----------------------------------------------------------------------------

  describe("in nginx", function()
    local phase, yields

    before_each(function()
      yields = 0
      rawset(_G, "ngx", {
        get_phase = function() return phase end,
        now = socket.gettime,
        sleep = function(seconds)
          assert(seconds > 0)
          yields = yields + 1
          local back = socket.gettime() + seconds
          repeat coroutine.yield() until socket.gettime() >= back
        end,
      })
    end)
    after_each(function() rawset(_G, "ngx", nil) end)

    -- Runs a call as nginx does a request: it goes on whenever it has yielded.
    local function serve(call)
      local results
      local request = coroutine.create(function() results = { call() } end)
      repeat
        local ok, message = coroutine.resume(request)
        if not ok then error(message, 0) end
      until coroutine.status(request) == "dead"
      return results[1], results[2], results[3], results[4]
    end

    it("yields until the answer is there", function()
      phase = "content"
      local client = new_client()
      sandbox:faults { delay = 0.1 }
      local answer = assert(serve(function() return client:send(EVENT) end))
      assert.equal(200, answer.http_status)
      assert.truthy(yields > 0)
      assert(serve(function() return client:check() end))
      local batch = client:batch()
      assert(batch:add(EVENT))
      assert(serve(function() return batch:send() end))
      assert.equal(0, #batch)
      report_many(client, 10)
      assert.is_true(serve(function() return client:flush(10) end))
      report_many(client, 10)
      assert.is_true(serve(function() return client:close(10) end))
      assert.equal(22, #sandbox:events())
    end)

    it("yields no longer than it may", function()
      phase = "timer"
      local client = new_client { endpoint = NOBODY }
      report_many(client, 2)
      local ok, message, code, remaining = serve(function() return client:flush(0.1) end)
      assert.is_nil(ok)
      assert.truthy(message:find("^flush: 2 events not delivered yet"), message)
      assert.equal("TIMEOUT", code)
      assert.equal(2, remaining)
      ok, message, code, remaining = serve(function() return client:close(0.1) end)
      assert.is_nil(ok)
      assert.truthy(message:find("^close: 2 events"), message)
      assert.equal("TIMEOUT", code)
      assert.equal(2, remaining)
    end)

    it("refuses to wait where it cannot yield, and sends nothing", function()
      phase = "log"
      local client = new_client()
      assert(client:report(EVENT))
      for _, call in ipairs { "send", "check", "flush", "close" } do
        local ok, message, code = client[call](client, call == "send" and EVENT or nil)
        assert.is_nil(ok)
        assert.truthy(message:find("^" .. call .. ": cannot wait in nginx's log phase; "), message)
        assert.equal("CONFIG", code)
      end
      assert.equal(0, yields)
      client:poll()
      client:flush(0)
      phase = "timer"
      assert.is_true(serve(function() return client:close(10) end))
      assert.equal(1, #sandbox:events())
    end)

    it("closes at once in every phase, when told to", function()
      phase = "log"
      local client = new_client()
      assert.is_true(client:close(0))
    end)

    it("blocks at the worker's exit", function()
      phase = "exit_worker"
      local client = new_client()
      report_many(client, 5)
      assert.is_true(client:close(10))
      assert.equal(0, yields)
      assert.equal(5, #sandbox:events())
    end)
  end)
end)
