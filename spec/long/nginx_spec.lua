--- nginx_spec.lua
-- Ends and reloads a real nginx many times under load, and once under valgrind.
-- Does not know the short forms (spec/integration/nginx_spec.lua).
-- SPDX-License-Identifier: MIT

local load_site = require "spec.support.nginx_load"
local nginx = require "spec.support.nginx"
local shell = require "spec.support.shell"
local socket = require "socket"

local wait_for = nginx.wait_for

describe("nginx, many times", function()
  local sandbox, site

  setup(function()
    sandbox = require("spec.support.sandbox").start { args = { "--keep", "1000000" } }
  end)
  teardown(function() sandbox:stop() end)
  before_each(function() sandbox:reset() end)
  after_each(function()
    if site then site:stop() end
    site = nil
  end)

  -- With a spool workers open their clients at once, so that what others left does not wait.
  local SPOOL = "spool = ngx.config.prefix() .. 'spool'"
  local EAGER = "init_worker_by_lua_block { require('quickaudience.nginx').client() }"
  local EXIT = "exit_worker_by_lua_block { require('quickaudience.nginx').exit() }"

  local function start(options)
    options.http = (options.http or "") .. load_site.LOG_FORMAT
      .. "\nlua_shared_dict quickaudience 1m; init_by_lua_block {"
      .. "require('quickaudience.nginx').setup " .. nginx.config(sandbox, options.config)
      .. "view = require('quickaudience.nginx').hook { event_code = 'page_view', "
      .. "customer_id = '$arg_u', attributes = { path = '$uri' } } }"
    options.server = (options.server or "") .. "location / { return 200; " .. load_site.LOG
      .. "log_by_lua_block { view() } } location = /metrics { content_by_lua_block { "
      .. "require('quickaudience.nginx').metrics() } }"
    site = nginx.start(options)
  end

  local function note(...)
    print("# " .. string.format(...))
  end

  local FAULTS = { { status = 503, probability = 0.05, times = "forever" },
    { delay = 0.1, probability = 0.1, times = "forever" } }

  local function arrived()
    local ids, count = {}, 0
    for _, item in ipairs(sandbox:events { valid = true }) do
      local id = item.event.customerId
      if not ids[id] then ids[id], count = true, count + 1 end
    end
    return ids, count
  end

  local function missing(wanted, there)
    local list = {}
    for id in pairs(wanted) do
      if not there[id] then list[#list + 1] = id end
    end
    return list
  end

  local function figure(name)
    local _, text = site:get("/metrics")
    return tonumber(text:match("\nquickaudience_" .. name .. '{client="default"} (%S+)')) or 0
  end

  -- Served requests, accepted events and distinct events that arrived are the same. A request whose
  -- answer did not come through may have been reported all the same, which nginx's log tells.
  local function assert_the_same(what, load)
    local served, ids = load:finish()
    local accepted, count = load_site.logged(site)
    sandbox:wait { distinct = count, timeout = 30 }
    local there, came = arrived()
    local all = sandbox:all()
    note("%s: %d served, %d accepted, %d arrived, %d of them twice; %d requests unanswered", what,
      served, count, came, all.duplicates, load.unanswered)
    assert.same({}, missing(ids, accepted))
    assert.same({}, missing(accepted, there))
    assert.same({}, missing(there, accepted))
    assert.truthy(count - served <= load.unanswered, "more were accepted than were asked for")
    return count
  end

  for _, spool in ipairs { "without", "with" } do
    local settings = spool == "with" and SPOOL or ""
    local eager = spool == "with" and EAGER or ""

    it("100 reloads under load lose nothing, " .. spool .. " a spool", function()
      start { workers = 2, config = settings, http = eager .. EXIT }
      sandbox:faults(FAULTS)
      local load = load_site.endless(site)
      for _ = 1, 100 do assert.truthy(site:reload()) end
      local count = assert_the_same("100 reloads " .. spool .. " a spool", load)
      -- An event that is taken over from a worker that ended counts as accepted once more.
      local own
      assert.truthy(wait_for(10, function()
        own = figure "events_accepted_total" - figure "spool_adopted_events_total"
        return own == count
      end), own)
      assert.same({}, site:deaths())
    end)

    it("50 TERMs under load lose nothing, " .. spool .. " a spool", function()
      start { workers = 2, config = settings, http = eager }
      sandbox:faults(FAULTS)
      local load = load_site.endless(site)
      for _ = 1, 50 do
        socket.select(nil, nil, 0.1) -- of load
        assert.truthy(site:finish("TERM"))
        site:start()
      end
      assert_the_same("50 TERMs " .. spool .. " a spool", load)
      assert.same({}, site:deaths())
    end)
  end

  it("100 reloads under wrk lose nothing, with a spool", function()
    start { workers = 2, config = SPOOL, http = EAGER .. EXIT }
    sandbox:faults(FAULTS)
    local connections = 4
    local load = load_site.wrk(site, connections)
    if not load then return pending("there is no wrk") end
    for _ = 1, 100 do assert.truthy(site:reload()) end
    local served, said = load:finish()
    assert.falsy(said:find("Non-2xx", 1, true), said)
    local _, count = load_site.logged(site)
    -- Only counted: so many events take too long to be read one by one.
    local all = sandbox:wait { distinct = count, timeout = 60 }
    note("100 reloads under wrk with a spool: %d served, %d accepted, %d arrived, %d of them twice",
      served, count, all.events.distinct, all.duplicates)
    assert.equal(count, all.events.distinct)
    -- What was under way when wrk was told to finish it did not count.
    assert.truthy(count >= served and count <= served + connections)
    assert.same({}, site:deaths())
  end)

  -- A worker each second, and when that was.
  local function kill_each_second(count)
    local killed = {}
    for _ = 1, count do
      socket.select(nil, nil, 1) -- of load
      local id = site:workers()[1]
      site:signal("KILL", id)
      killed[id] = socket.gettime()
      assert.truthy(wait_for(5, function() return #site:workers() == 2 end))
    end
    return killed
  end

  it("goes on while a worker is killed every second", function()
    start { workers = 2 }
    local load = load_site.endless(site)
    kill_each_second(10)
    local served, ids = load:finish()
    sandbox:wait { distinct = served, timeout = 3 }
    local lost = #missing(ids, (arrived()))
    note("10 kills without a spool: %d served, %d lost", served, lost)
    -- What a killed worker held in memory: what lingered and what was on its way.
    assert.truthy(lost < served / 10 * 0.8)
  end)

  -- How old what was lost was when its worker was killed, in order.
  local function ages_of(lost, accepted, killed)
    local ages = {}
    for i, id in ipairs(lost) do
      local seen = accepted[id]
      assert.truthy(killed[seen.pid], "lost by a worker that was not killed")
      ages[i] = killed[seen.pid] - seen.time
    end
    table.sort(ages)
    return ages
  end

  -- Seconds. What a commit and two busy cores may add to commit_interval; a second would say
  -- nothing here.
  local INTERVAL, SLACK = 0.05, 0.5

  it("loses nothing that was committed while a worker is killed every second", function()
    start { workers = 2, http = EAGER,
      config = SPOOL .. ", interval = 0.1, commit_interval = " .. INTERVAL,
      server = [[location = /saved { content_by_lua_block {
        local qa = require "quickaudience.nginx"
        local ok = qa.report { customer_id = ngx.var.arg_u, event_code = "saved" }
        ngx.status = ok and qa.client():flush_to_disk(10) and 200 or 503
        ngx.print "x" } }]] }
    sandbox:faults { { status = 503, probability = 0.2, times = "forever" },
      { delay = 0.3, probability = 0.3, times = "forever" } }
    local load = load_site.endless(site)
    local safe = load_site.endless(site, { from = 10000000, path = "/saved" })
    local killed = kill_each_second(20)
    local served, ids = load:finish()
    local saved, saved_ids = safe:finish()
    local accepted, count = load_site.logged(site)
    -- Answered, and killed before the log phase: one for each connection and kill at most.
    assert.truthy(#missing(ids, accepted) <= 20 * 4)
    -- The siblings have taken over all there is when each has its own file alone.
    sandbox:clear_faults()
    assert.truthy(wait_for(60, function()
      return figure "spool_files" == 2 and figure "oldest_pending_seconds" == 0
    end), "nobody adopts what is left")
    local there = arrived()
    assert.same({}, missing(saved_ids, there))
    local lost = missing(accepted, there)
    local ages = ages_of(lost, accepted, killed)
    note("20 kills with a spool: %d served, %d accepted, %d lost, the oldest %.0f ms before its "
      .. "worker was killed; %d saved, none lost; %d adopted, %d arrived twice", served, count,
      #lost, (ages[#ages] or 0) * 1000, saved, figure "spool_adopted_events_total",
      sandbox:all().duplicates)
    assert.truthy((ages[#ages] or 0) < INTERVAL + SLACK, ages[#ages])
    assert.truthy(figure "spool_adopted_events_total" > 0)
  end)

  for _, name in ipairs { "QUIT", "TERM" } do
    for _, cache in ipairs { "on", "off" } do
      for spool, settings in pairs { without = "", with = SPOOL } do
        it("50 exits on " .. name .. " with live threads, lua_code_cache " .. cache .. ", " .. spool
          .. " a spool", function()
          start { http = "lua_code_cache " .. cache .. ";", workers = 2, config = settings }
          for round = 1, 25 do
            sandbox:faults { { delay = 0.05, times = 2 } }
            load_site.run(site, { from = round * 100, count = 20 })
            assert.truthy(site:finish(name, 6))
            if round < 25 then site:start() end
          end
          assert.same({}, site:deaths())
          assert.equal(500, sandbox:wait({ distinct = 500, timeout = 5 }).events.distinct)
        end)
      end
    end
  end

  -- LuaJIT's own reads ahead are known to look wrong to valgrind: only what is ours counts.
  it("is clean under valgrind, reload and end included", function()
    start { config = SPOOL, http = EAGER, wrapper = "valgrind -q --trace-children=yes "
      .. "--error-markers=BEGIN,END --log-file=valgrind.%p" }
    load_site.run(site, { from = 1, count = 200 })
    sandbox:faults { { status = 503, times = 2 }, { delay = 0.2 } }
    site:signal("HUP")
    assert.truthy(wait_for(60, function() return site:serves() end))
    load_site.run(site, { from = 1001, count = 200 })
    assert.truthy(site:finish("QUIT", 60))
    assert.equal(400, sandbox:wait({ distinct = 400, timeout = 10 }).events.distinct)
    local ours = {}
    for _, path in ipairs(shell.lines("ls " .. site.dir .. "/valgrind.*")) do
      local file = assert(io.open(path))
      for block in file:read("*a"):gmatch("BEGIN(.-)END") do
        if block:find("qa_", 1, true) or block:find("core.so", 1, true) then
          ours[#ours + 1] = block
        end
      end
      file:close()
    end
    assert.same({}, ours)
    assert.same({}, site:deaths())
  end)
end)
