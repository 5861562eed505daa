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

  local function start(options)
    options.http = (options.http or "") .. "\nlua_shared_dict quickaudience 1m; init_by_lua_block {"
      .. "require('quickaudience.nginx').setup " .. nginx.config(sandbox, options.config)
      .. "view = require('quickaudience.nginx').hook { event_code = 'page_view', "
      .. "customer_id = '$arg_u', attributes = { path = '$uri' } } }"
    options.server = "location / { return 200; log_by_lua_block { view() } }"
    site = nginx.start(options)
  end

  local function note(...)
    print("# " .. string.format(...))
  end

  local FAULTS = { { status = 503, probability = 0.05, times = "forever" },
    { delay = 0.1, probability = 0.1, times = "forever" } }

  local function arrived()
    local ids = {}
    for _, item in ipairs(sandbox:events { valid = true }) do ids[item.event.customerId] = true end
    return ids
  end

  local function missing(served, there)
    local count = 0
    for id in pairs(served) do
      if not there[id] then count = count + 1 end
    end
    return count
  end

  it("100 reloads under load lose nothing", function()
    start { workers = 2 }
    sandbox:faults(FAULTS)
    local load = load_site.endless(site)
    for _ = 1, 100 do assert.truthy(site:reload()) end
    local served, ids = load:finish()
    sandbox:wait { distinct = served, timeout = 20 }
    local there = arrived()
    local count = 0
    for _ in pairs(there) do count = count + 1 end
    note("100 reloads: %d served, %d arrived", served, count)
    assert.equal(0, missing(ids, there))
    assert.truthy(count - served <= load.unanswered, "more arrived than were asked for")
    assert.same({}, site:deaths())
  end)

  it("50 TERMs under load lose nothing that was answered", function()
    start { workers = 2 }
    sandbox:faults(FAULTS)
    local load = load_site.endless(site)
    for _ = 1, 50 do
      socket.select(nil, nil, 0.1) -- of load
      assert.truthy(site:finish("TERM"))
      site:start()
    end
    local served, ids = load:finish()
    sandbox:wait { distinct = served, timeout = 20 }
    note("50 TERMs: %d served, %d unanswered", served, load.unanswered)
    assert.equal(0, missing(ids, arrived()))
    assert.same({}, site:deaths())
  end)

  it("goes on while a worker is killed every second", function()
    start { workers = 2 }
    local load = load_site.endless(site)
    for _ = 1, 10 do
      socket.select(nil, nil, 1) -- of load
      site:signal("KILL", site:workers()[1])
      assert.truthy(wait_for(5, function() return #site:workers() == 2 end))
    end
    local served, ids = load:finish()
    sandbox:wait { distinct = served, timeout = 3 }
    local lost = missing(ids, arrived())
    note("10 kills without a spool: %d served, %d lost", served, lost)
    -- What a killed worker held in memory: what lingered and what was on its way.
    assert.truthy(lost < served / 10 * 0.8)
  end)

  for _, name in ipairs { "QUIT", "TERM" } do
    for _, cache in ipairs { "on", "off" } do
      it("50 exits on " .. name .. " with a live thread, lua_code_cache " .. cache, function()
        start { http = "lua_code_cache " .. cache .. ";", workers = 2 }
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

  -- LuaJIT's own reads ahead are known to look wrong to valgrind: only what is ours counts.
  it("is clean under valgrind, reload and end included", function()
    start { wrapper = "valgrind -q --trace-children=yes --error-markers=BEGIN,END "
      .. "--log-file=valgrind.%p" }
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
