--- nginx_spec.lua
-- Holds quickaudience.nginx to its word in a real nginx, against the sandbox.
-- Does not know other hosts than nginx. spec/long/nginx_spec.lua repeats the ends many times.
-- SPDX-License-Identifier: MIT

-- nginx runs LuaJIT whichever Lua runs the spec: once is enough, and that is the fitting one.
if not rawget(_G, "jit") then return end

local load_site = require "spec.support.nginx_load"
local nginx = require "spec.support.nginx"
local shell = require "spec.support.shell"
local socket = require "socket"

local wait_for = nginx.wait_for

describe("in nginx", function()
  local sandbox, site

  setup(function() sandbox = require("spec.support.sandbox").start() end)
  teardown(function() sandbox:stop() end)
  before_each(function() sandbox:reset() end)
  after_each(function()
    if site then site:stop() end
    site = nil
  end)

  local function setup_text(more)
    return 'require("quickaudience.nginx").setup ' .. nginx.config(sandbox, more)
  end

  local function start(options)
    options.http = (options.shared or "lua_shared_dict quickaudience 1m;") .. "\n"
      .. (options.http or "init_by_lua_block { " .. setup_text(options.config) .. " }")
    site = nginx.start(options)
    return site
  end

  local function figure(text, name)
    return tonumber(text:match("\n" .. name:gsub("[{}]", "%%%0") .. " (%S+)"))
  end

  local METRICS = [[location = /metrics { content_by_lua_block {
    require("quickaudience.nginx").metrics() } }]]

  local function codes_of(events)
    local list = {}
    for i, item in ipairs(events) do list[i] = item.event.eventCode end
    table.sort(list)
    return list
  end

  it("reports in every phase", function()
    local dir = shell.folder()
    shell.check("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
      .. "-keyout " .. dir .. "/key.pem -out " .. dir .. "/cert.pem -days 2 -subj /CN=localhost")
    local port = socket.bind("127.0.0.1", 0)
    local _, tls = port:getsockname()
    port:close()
    local function say(code) return "say '" .. code .. "'" end
    start {
      files = { ["say.lua"] = [[
        local qa = require "quickaudience.nginx"
        return function(code)
          local ok, message = qa.report { customer_id = "u", event_code = code }
          if not ok then ngx.log(ngx.ERR, "REFUSED in ", code, ": ", message) end
        end]] },
      http = "init_by_lua_block { " .. setup_text() .. " say = require 'say'; say 'init' }\n"
        .. "init_worker_by_lua_block { " .. say "init_worker" .. " }\n"
        .. "upstream chosen { server 0.0.0.1; balancer_by_lua_block { say 'balancer'; "
        .. "require('ngx.balancer').set_current_peer('127.0.0.1', ngx.var.server_port) } }\n"
        .. "server { listen 127.0.0.1:" .. tls .. " ssl; ssl_certificate " .. dir .. "/cert.pem; "
        .. "ssl_certificate_key " .. dir .. "/key.pem; "
        .. "ssl_certificate_by_lua_block { say 'ssl_cert' } return 200; }",
      server = [[location / {
          set_by_lua_block $dummy { say 'set' return 1 }
          rewrite_by_lua_block { say 'rewrite' }
          access_by_lua_block { say 'access'; ngx.timer.at(0, function() say 'timer' end) }
          content_by_lua_block { say 'content' ngx.print 'x' }
          header_filter_by_lua_block { say 'header_filter' }
          body_filter_by_lua_block { if ngx.arg[2] then say 'body_filter' end }
          log_by_lua_block { say 'log' } }
        location /proxied { proxy_pass http://chosen/health; }]],
    }
    assert.equal(200, (site:get("/")))
    assert.equal(200, (site:get("/proxied")))
    shell.check("curl -q -ksS --noproxy '*' https://127.0.0.1:" .. tls)
    sandbox:wait { events = 11, timeout = 5 }
    os.execute("rm -rf " .. dir)
    assert.same({ "access", "balancer", "body_filter", "content", "header_filter", "init_worker",
      "log", "rewrite", "set", "ssl_cert", "timer" }, codes_of(sandbox:events()))
    assert.equal(1, site:count_log("REFUSED"))
    assert.equal(1, site:count_log("REFUSED in init: nginx: cannot report before the fork"))
  end)

  it("waits by yielding: others are served meanwhile", function()
    start { server = [[location / { content_by_lua_block {
      local client = assert(require("quickaudience.nginx").client())
      local event = { customer_id = "u", event_code = "e" }
      local call, ok, message = ngx.var.uri:sub(2), nil, nil
      if call == "send" then ok, message = client:send(event)
      elseif call == "check" then ok, message = client:check()
      elseif call == "flush" then client:report(event); ok, message = client:flush(5)
      elseif call == "collect" then
        local quickaudience, config = require "quickaudience", ]] .. nginx.config(sandbox) .. [[
        config.linger = 0.1 -- another configuration: another sender
        local other = quickaudience.new(config)
        other:report(event)
        other = nil
        collectgarbage() collectgarbage()
        ok = true
      end
      ngx.print(ok and "done" or message) } }]] }
    for _, call in ipairs { "send", "check", "flush", "collect" } do
      sandbox:faults { { delay = 1 } }
      local slow = io.popen("curl -q -sS --noproxy '*' " .. site.url .. "/" .. call)
      local worst, served = 0, 0
      assert.truthy(wait_for(3, function()
        local start_time = socket.gettime()
        assert.equal(200, (site:get("/health")))
        worst, served = math.max(worst, socket.gettime() - start_time), served + 1
        return sandbox:all().requests > 0
      end), call)
      assert.truthy(worst < 0.5, call .. " kept a request waiting for " .. worst)
      assert.equal("done", slow:read("*a"))
      slow:close()
      sandbox:reset()
    end
  end)

  it("says clearly where nothing can wait", function()
    start { server = [[location / { return 200; log_by_lua_block {
      local client = require("quickaudience.nginx").client()
      local ok, message, code = client:send { customer_id = "u", event_code = "e" }
      ngx.log(ngx.NOTICE, "SEND ", tostring(ok), " ", code, " ", message)
      ok, message, code = client:flush_to_disk(1)
      ngx.log(ngx.NOTICE, "SAVE ", tostring(ok), " ", code, " ", message)
      ok, message, code = client:flush(1)
      ngx.log(ngx.NOTICE, "FLUSH ", tostring(ok), " ", code, " ", message) } }]] }
    site:get("/")
    assert.truthy(site:wait_log("FLUSH"))
    assert.equal(1, site:count_log("SEND nil CONFIG send: cannot wait in nginx's log phase; "
      .. "use report()"))
    assert.equal(1, site:count_log("SAVE nil CONFIG flush_to_disk: cannot wait in nginx's log "
      .. "phase; use a timer"))
    assert.equal(1, site:count_log("FLUSH nil CONFIG flush: cannot wait in nginx's log phase; "
      .. "use a timer"))
  end)

  it("says once, at the start, what is wrong with the setup, and serves", function()
    start { workers = 2, shared = "lua_shared_dict quickaudiance 1m;",
      http = "init_by_lua_block { local qa = require 'quickaudience.nginx' "
        .. setup_text("intervall = 2") .. " " .. setup_text("name = 'second', batch_evnts = 1")
        .. " " .. setup_text("name = 'third'") .. " view = qa.hook { client = 'third', "
        .. "event_code = 'e', "
        .. "customer_id = '$arg_u', atributes = {} } }\n"
        .. "init_worker_by_lua_block { " .. setup_text("intervall = 2") .. " }",
      server = "location / { return 200; log_by_lua_block { view() "
        .. "require('quickaudience.nginx').report { customer_id = 'u', event_code = 'e' } } }" }
    for _ = 1, 5 do assert.equal(200, (site:get("/?u=1"))) end
    assert.equal(1, site:count_log("setup: config.intervall: unknown key; did you mean "
      .. "'interval'?"))
    assert.equal(1, site:count_log("setup: config.batch_evnts: unknown key; did you mean "
      .. "'batch_events'?; no events are reported until this is mended and nginx reloaded"))
    assert.equal(1, site:count_log("there is no lua_shared_dict 'quickaudience', did you mean "
      .. "'quickaudiance'?; add 'lua_shared_dict quickaudience 1m;' to the http block"))
    assert.equal(1, site:count_log("hook.atributes: unknown key; did you mean 'attributes'?"))
    assert.equal(0, #sandbox:events())
  end)

  local VIEW = [[location / { return 200; log_by_lua_block { view() } }]]

  local function start_hooked(options)
    options.http = "init_by_lua_block { " .. setup_text(options.config) .. " view = "
      .. "require('quickaudience.nginx').hook { event_code = 'page_view', customer_id = '$arg_u', "
      .. "attributes = { path = '$uri', agent = { header = 'User-Agent' }, code = '$status', "
      .. "session = { cookie = 'sid' }, channel = 'web', none = '$arg_none' } } }\n"
      .. (options.http or "")
    options.server = VIEW .. METRICS .. (options.server or "")
    return start(options)
  end

  it("makes events of requests as a hook says", function()
    start_hooked {}
    site:get("/shop?u=42", { ["User-Agent"] = "spec", Cookie = "sid=s1" })
    site:get("/nobody")
    sandbox:wait { events = 1 }
    local events = sandbox:events()
    assert.equal(1, #events)
    assert.equal("42", events[1].event.customerId)
    assert.same({ path = "/shop", agent = "spec", code = "200", session = "s1", channel = "web" },
      events[1].event.extendAttributes)
    local text = wait_for(3, function()
      local _, found = site:get("/metrics")
      return figure(found, 'quickaudience_events_delivered_total{client="default"}') == 1 and found
    end)
    assert.equal(1, figure(text, 'quickaudience_requests_skipped_total{client="default",'
      .. 'reason="no_customer"}'))
  end)

  it("sums the figures of all workers, dead ones included", function()
    start_hooked { workers = 3, config = "interval = 0.1" }
    local sent = 0
    local function visit(count)
      load_site.run(site, { from = sent + 1, count = count })
      sent = sent + count
    end
    local function total(name)
      local _, text = site:get("/metrics")
      return figure(text, name)
    end
    visit(200)
    local delivered = 'quickaudience_events_delivered_total{client="default"}'
    assert.truthy(wait_for(5, function() return total(delivered) == 200 end))
    assert.truthy(site:reload())
    visit(100)
    assert.truthy(wait_for(5, function() return total(delivered) == 300 end))
    for _, id in ipairs(site:workers()) do site:signal("KILL", id) end
    assert.truthy(wait_for(5, function() return #site:workers() == 3 and site:serves() end))
    visit(100)
    assert.truthy(wait_for(5, function() return total(delivered) == 400 end))
    assert.equal(400, total('quickaudience_events_accepted_total{client="default"}'))
    -- The dead workers' gauges expire.
    assert.truthy(wait_for(5, function()
      local workers = total('quickaudience_workers{client="default"}')
      return workers and workers <= 3
    end))
    assert.equal(0, total('quickaudience_events_pending{client="default",place="queued"}'))
  end)

  it("summarises failures, at most once a second", function()
    start_hooked { config = "queue_events = 2, linger = 60, interval = 1" }
    load_site.run(site, { from = 1, count = 300 })
    assert.truthy(site:wait_log("refused with QUEUE_FULL", 4))
    local lines = site:count_log("quickaudience:")
    assert.truthy(lines <= 3, lines .. " lines")
  end)

  it("keeps two tenants on one endpoint apart", function()
    local other = nginx.config(sandbox, "name = 'other'"):gsub("demo%-organization", "second-org")
    start { workers = 2, http = "init_by_lua_block { " .. setup_text()
      .. " require('quickaudience.nginx').setup " .. other .. "}",
      server = METRICS .. [[location / { return 200; log_by_lua_block {
        local qa, u = require "quickaudience.nginx", tonumber(ngx.var.arg_u)
        local mine = u % 2 == 0 and "other" or nil
        qa.report({ customer_id = tostring(u), event_code = mine or "first" }, mine) } }]] }
    load_site.run(site, { from = 1, count = 200 })
    sandbox:wait { distinct = 200 }
    local events = sandbox:events()
    assert.equal(200, #events)
    for _, item in ipairs(events) do
      local second = tonumber(item.event.customerId) % 2 == 0
      assert.equal(second and "second-org" or "demo-organization", item.event.organizationId)
      assert.equal(item.event.organizationId, item.access_id)
      assert.equal(second and "other" or "first", item.event.eventCode)
    end
    assert.truthy(wait_for(3, function()
      local _, text = site:get("/metrics")
      return figure(text, 'quickaudience_events_accepted_total{client="default"}') == 100
        and figure(text, 'quickaudience_events_accepted_total{client="other"}') == 100
    end))
  end)

  -- ---- the ends --------------------------------------------------------------------------------

  local function assert_arrived(served)
    local all = sandbox:wait { distinct = served, timeout = 10 }
    assert.equal(served, all.events.distinct)
    assert.same({}, site:deaths())
  end

  it("loses nothing when nginx is reloaded under load", function()
    start_hooked { workers = 2, http = "init_worker_by_lua_block { " .. setup_text() .. " }" }
    sandbox:faults { { status = 503, times = 3 }, { delay = 0.3, times = 3 } }
    local load = load_site.start(site, { from = 1, count = 6000 })
    for _ = 1, 5 do assert.truthy(site:reload()) end
    local served = load:finish()
    assert.equal(6000, served)
    assert_arrived(served)
  end)

  for _, name in ipairs { "QUIT", "TERM" } do
    it("delivers what was accepted when nginx ends on " .. name, function()
      start_hooked { workers = 2, main = "user root; worker_shutdown_timeout 5s;" }
      sandbox:faults { { delay = 0.4, times = 2 } }
      local load = load_site.start(site, { from = 1, count = 8000 })
      assert.truthy(wait_for(5, function() return sandbox:all().events.distinct > 100 end))
      assert.truthy(site:finish(name, 8))
      local _, ids = load:finish()
      local arrived = {}
      for _, item in ipairs(sandbox:events()) do arrived[item.event.customerId] = true end
      local lost = 0
      for id in pairs(ids) do
        if not arrived[id] then lost = lost + 1 end
      end
      assert.equal(0, lost)
      assert.same({}, site:deaths())
      assert.equal(0, site:count_log("exited on signal"))
    end)
  end

  for hook, text in pairs { with = "exit_worker_by_lua_block { "
    .. "require('quickaudience.nginx').exit() }", without = "" } do
    it("has time for all clients on TERM, " .. hook .. " the line for complete figures", function()
      local more = {}
      for i = 1, 4 do
        more[i] = setup_text("name = 'n" .. i .. "', access_id = 'n" .. i .. "'")
      end
      start { workers = 2,
        http = "init_by_lua_block { " .. table.concat(more, " ") .. " } " .. text,
        server = [[location / { return 200; log_by_lua_block {
          for i = 1, 4 do
            require("quickaudience.nginx").report({ customer_id = ngx.var.arg_u, event_code = "e" },
              "n" .. i)
          end } }]] }
      sandbox:faults { { delay = 10, times = "forever" } }
      load_site.run(site, { from = 1, count = 10 })
      assert.truthy(site:finish("TERM"))
      assert.same({}, site:deaths())
    end)
  end

  it("goes on after a worker is killed", function()
    start_hooked { workers = 1 }
    load_site.run(site, { from = 1, count = 50 })
    site:signal("KILL", site:workers()[1])
    assert.truthy(wait_for(5, function() return site:serves() end))
    load_site.run(site, { from = 1001, count = 50 })
    assert.truthy(wait_for(5, function()
      return #sandbox:events { customer_id = "1050" } == 1
    end))
  end)

  it("reports with a worker under another user", function()
    start_hooked { main = "user daemon;" }
    load_site.run(site, { from = 1, count = 10 })
    assert_arrived(10)
  end)

  it("has no live thread after lua_close: busy workers end well, many times", function()
    start_hooked { workers = 2 }
    for round = 1, 10 do
      sandbox:faults { { delay = 0.2, times = 2 } }
      load_site.run(site, { from = round * 100, count = 20 })
      assert.truthy(site:reload())
    end
    assert_arrived(200)
  end)

  -- Seconds until the first batch is answered, under `timeout`; those behind it are answered at
  -- once.
  local FIRST_ANSWER = 8

  for _, master in ipairs { "on", "off" } do
    it("works with lua_code_cache off, and no request waits for the delivery, master_process "
      .. master, function()
      start_hooked { http = "lua_code_cache off;", master = master,
        daemon = master == "on" }
      sandbox:faults { { delay = FIRST_ANSWER, times = 1 } }
      local start_time = socket.gettime()
      load_site.run(site, { from = 1, count = 20 })
      assert.truthy(socket.gettime() - start_time < FIRST_ANSWER, "served after the first answer")
      assert_arrived(20)
      assert.truthy(site:finish("QUIT"))
      assert.same({}, site:deaths())
    end)
  end

  -- A reload makes the main Lua anew: in the master, which with `daemon on` is not the process that
  -- made the first one.
  for _, daemon in ipairs { true, false } do
    it("delivers on TERM with lua_code_cache off after a reload, daemon "
      .. (daemon and "on" or "off"), function()
      start_hooked { http = "lua_code_cache off;", daemon = daemon }
      assert.truthy(site:reload())
      sandbox:faults { { status = 503, times = 2 }, { delay = 0.4, times = 2 } }
      assert.equal(20, (load_site.run(site, { from = 1, count = 20 })))
      assert.truthy(site:finish("TERM"))
      assert_arrived(20)
    end)
  end

  -- A worker that is told to go closes what is still open after its timeout; the log phase of such
  -- a request comes late, and its event too. The first report of all may come as late as that.
  it("loses nothing of slow requests, waited for or cut off by worker_shutdown_timeout", function()
    start_hooked { workers = 2, main = "user root; worker_shutdown_timeout 1s;",
      http = load_site.LOG_FORMAT .. "lua_shared_dict begun 1m;",
      server = "location /slow { " .. load_site.LOG .. [[
          content_by_lua_block {
            ngx.shared.begun:incr("count", 1, 0)
            ngx.sleep(tonumber(ngx.var.arg_u) % 2 == 0 and 0.4 or 4)
            ngx.print "x" }
          log_by_lua_block { view() } }
        location = /begun { content_by_lua_block {
          ngx.print(ngx.shared.begun:get("count") or 0) } }]] }
    local load = load_site.start(site, { from = 1, count = 40, connections = 40, path = "/slow" })
    assert.truthy(wait_for(5, function() return select(2, site:get("/begun")) == "40" end))
    assert.truthy(site:reload())
    local served = load:finish()
    assert.truthy(wait_for(5, function() return select(2, load_site.logged(site)) == 40 end))
    assert.equal(20, served)
    assert_arrived(40)
    assert.equal(0, site:count_log("cannot start a timer"))
  end)

  -- ---- with a spool ----------------------------------------------------------------------------

  local SPOOL = "spool = ngx.config.prefix() .. 'spool'"
  local AWAY = { { status = 503, times = "forever" } }

  -- With it workers open their clients at once: what others left does not wait for a request.
  local EAGER = "init_worker_by_lua_block { require('quickaudience.nginx').client() }"

  local function start_spooling(options)
    options.config = SPOOL .. ", " .. (options.config or "")
    options.server = (options.server or "") .. [[location = /saved { content_by_lua_block {
      local qa = require "quickaudience.nginx"
      local ok, message = qa.report { customer_id = ngx.var.arg_u, event_code = "saved" }
      if ok then ok, message = qa.client():flush_to_disk(10) end
      if not ok then ngx.log(ngx.ERR, "NOT SAVED: ", message) end
      ngx.status = ok and 200 or 503
      ngx.print "x" } }]]
    return start_hooked(options)
  end

  local function total(name)
    local _, text = site:get("/metrics")
    return figure(text, name)
  end

  local function spool_files()
    return shell.lines("ls " .. site.dir .. "/spool | grep 'db$' || true")
  end

  local SILENT = { { status = 503, delay = 20, times = "forever" } }

  for _, case in ipairs { { "QUIT", "fails", AWAY }, { "TERM", "fails", AWAY },
    { "TERM", "is silent", SILENT } } do
    local name, what, faults = case[1], case[2], case[3]
    it("keeps what is left on " .. name .. " for the next start while the service " .. what,
      function()
        start_spooling { workers = 2, http = EAGER }
        sandbox:faults(faults)
        assert.equal(200, (load_site.run(site, { from = 1, count = 200 })))
        assert.truthy(site:finish(name, 8))
        assert.same({}, site:deaths())
        assert.truthy(#spool_files() > 0)
        sandbox:clear_faults()
        site:start()
        assert_arrived(200)
        assert.truthy(site:finish("QUIT"))
        assert.same({}, spool_files())
      end)
  end

  -- No request comes after the kill: the new worker opens no client, so it is the sibling.
  for _, name in ipairs { "KILL", "SEGV" } do
    it("has a sibling deliver what a worker had saved that dies of SIG" .. name, function()
      start_spooling { workers = 2 }
      sandbox:faults(AWAY)
      local victim, served
      assert.truthy(wait_for(10, function()
        served = (served or 0) + load_site.run(site, { from = 1 + (served or 0), count = 50,
          path = "/saved", connections = 8 })
        return total 'quickaudience_workers{client="default"}' == 2
      end))
      victim = site:workers()[1]
      site:signal(name, victim)
      assert.truthy(wait_for(5, function()
        local ids = site:workers()
        return #ids == 2 and ids[1] ~= victim and ids[2] ~= victim
      end))
      sandbox:clear_faults()
      assert.equal(served, sandbox:wait({ distinct = served, timeout = 15 }).events.distinct)
      assert.truthy(wait_for(5, function()
        return total 'quickaudience_spool_adopted_events_total{client="default"}' > 0
      end))
    end)
  end

  it("loses nothing when nginx is reloaded under load with a spool", function()
    start_spooling { workers = 2, http = EAGER }
    sandbox:faults { { status = 503, times = 3 }, { delay = 0.3, times = 3 } }
    local load = load_site.start(site, { from = 1, count = 4000 })
    for _ = 1, 5 do assert.truthy(site:reload()) end
    assert.equal(4000, (load:finish()))
    assert_arrived(4000)
    -- Of each worker that ended no file is left.
    assert.truthy(wait_for(10, function() return #spool_files() == 2 end))
  end)

  it("reports into a spool with lua_code_cache off, and leaves no file behind", function()
    start_spooling { http = "lua_code_cache off;" }
    load_site.run(site, { from = 1, count = 20 })
    assert_arrived(20)
    sandbox:faults(AWAY)
    load_site.run(site, { from = 101, count = 20 })
    assert.truthy(site:finish("TERM"))
    sandbox:clear_faults()
    site:start()
    load_site.run(site, { from = 201, count = 20 })
    assert_arrived(60)
    assert.truthy(site:finish("QUIT"))
    assert.same({}, spool_files())
  end)

  -- A folder of its own, that workers of another user can reach and use; without root there is no
  -- other user, and nginx ignores the line.
  it("keeps events in a spool of another user's worker", function()
    local folder = shell.folder()
    shell.check("chmod 711 " .. folder .. " && mkdir -m 700 " .. folder .. "/spool")
    shell.run("chown daemon " .. folder .. "/spool")
    start_hooked { main = "user daemon;", config = "spool = '" .. folder .. "/spool'" }
    sandbox:faults(AWAY)
    load_site.run(site, { from = 1, count = 10 })
    assert.truthy(site:finish("TERM"))
    local owners = shell.lines("stat -c '%U %a' " .. folder .. "/spool/*.db")
    sandbox:clear_faults()
    site:start()
    load_site.run(site, { from = 101, count = 1 })
    sandbox:wait { distinct = 11, timeout = 10 }
    shell.check("rm -rf " .. folder)
    local user = shell.check("id -un"):match("%S+")
    assert.same({ (user == "root" and "daemon" or user) .. " 600" }, owners)
    assert.equal(11, sandbox:all().events.distinct)
    assert.same({}, site:deaths())
  end)

  it("says in the error log that the spool cannot be used, and why", function()
    start_hooked { config = "spool = '/proc/spool'" }
    load_site.run(site, { from = 1, count = 20 })
    assert.truthy(site:wait_log("the spool fails: spool: cannot make '/proc/spool': no such file"))
    assert.equal(1, total 'quickaudience_spool_state{client="default",state="failed"}')
    load_site.run(site, { from = 101, count = 20 })
    assert.truthy(total 'quickaudience_events_refused_total{client="default",code="SPOOL"}' > 0)
    assert.same({}, site:deaths())
  end)

  it("says that the spool is another user's, before the first request", function()
    if shell.check("id -u") ~= "0\n" then return pending("only root's are another user") end
    local folder = shell.folder()
    shell.check("chmod 711 " .. folder .. " && mkdir -m 700 " .. folder .. "/spool")
    start_hooked { main = "user daemon;", config = "spool = '" .. folder .. "/spool'",
      http = EAGER }
    local said = site:wait_log("the spool fails: spool: '" .. folder
      .. "/spool' belongs to another user (uid 0)")
    shell.check("rm -r " .. folder)
    assert.truthy(said)
  end)

  it("keeps two tenants apart in one spool", function()
    local other = nginx.config(sandbox, "name = 'other', " .. SPOOL)
      :gsub("demo%-organization", "second-org")
    local function start_both(more)
      start { workers = 2, http = "init_by_lua_block { " .. more .. " } init_worker_by_lua_block { "
          .. "for _, name in ipairs { 'default', 'other' } do "
          .. "require('quickaudience.nginx').client(name) end }",
        server = METRICS .. [[location / { return 200; log_by_lua_block {
          local qa, u = require "quickaudience.nginx", tonumber(ngx.var.arg_u)
          local mine = u % 2 == 0 and "other" or nil
          qa.report({ customer_id = tostring(u), event_code = mine or "first" }, mine) } }]] }
    end
    start_both(setup_text(SPOOL) .. " require('quickaudience.nginx').setup " .. other)
    sandbox:faults(AWAY)
    load_site.run(site, { from = 1, count = 200 })
    assert.truthy(wait_for(5, function()
      return total 'quickaudience_events_pending{client="other",place="spooled"}' == 100
        and total 'quickaudience_events_pending{client="default",place="spooled"}' == 100
    end))
    for _, id in ipairs(site:workers()) do site:signal("KILL", id) end
    assert.truthy(wait_for(5, function() return #site:workers() == 2 and site:serves() end))
    -- Each file names one tenant, and all of its events are that tenant's.
    local files = {}
    for _, name in ipairs(spool_files()) do
      local text = shell.check("sqlite3 'file:" .. site.dir .. "/spool/" .. name .. "?mode=ro' "
        .. ".dump")
      local first = text:find("demo-organization", 1, true) and "first" or ""
      local both = first .. (text:find("second-org", 1, true) and "second" or "")
      files[both] = (files[both] or 0) + 1
    end
    assert.truthy((files.first or 0) > 0 and (files.second or 0) > 0)
    assert.is_nil(files.firstsecond)
    sandbox:clear_faults()
    assert.equal(200, sandbox:wait({ distinct = 200, timeout = 20 }).events.distinct)
    for _, item in ipairs(sandbox:events { valid = true }) do
      local second = tonumber(item.event.customerId) % 2 == 0
      assert.equal(second and "second-org" or "demo-organization", item.event.organizationId)
      assert.equal(item.event.organizationId, item.access_id)
      assert.equal(second and "other" or "first", item.event.eventCode)
    end
  end)
end)
