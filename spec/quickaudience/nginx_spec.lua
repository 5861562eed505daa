--- nginx_spec.lua
-- Holds nginx's setup, hooks, figures and summaries to their word, with an nginx that is played.
-- Does not know a real nginx (spec/integration/nginx_spec.lua), nor a service.
-- SPDX-License-Identifier: MIT

-- As much of a shared dict as the library uses.
local function play_dict(clock)
  local values, expires = {}, {}
  local dict = { values = values }
  local function alive(key)
    if expires[key] and clock() >= expires[key] then values[key], expires[key] = nil, nil end
    return values[key]
  end
  function dict:get(key) return self and alive(key) end
  function dict:set(key, value, ttl)
    if self.full then return nil, "no memory" end
    values[key], expires[key] = value, ttl and clock() + ttl
    return true
  end
  function dict:add(key, value, ttl)
    if alive(key) ~= nil then return false, "exists" end
    return self:set(key, value, ttl)
  end
  function dict:incr(key, by, init)
    if self.full then return nil, "no memory" end
    values[key] = (alive(key) or init) + by
    return values[key]
  end
  return dict
end

local function play_nginx()
  local ngx = { ERR = "error", WARN = "warn", NOTICE = "notice", phase = "log", clock = 1000,
    pid = 100, logged = {}, timers = {}, header = {}, printed = "", var = {} }
  ngx.get_phase = function() return ngx.phase end
  ngx.now = function() return ngx.clock end
  ngx.update_time = function() end
  ngx.sleep = function() end
  ngx.worker = { pid = function() return ngx.pid end, id = function() return ngx.id or 0 end,
    exiting = function() return ngx.is_exiting end, count = function() return ngx.workers or 1 end }
  ngx.log = function(level, ...)
    local parts = { ... }
    for i, part in ipairs(parts) do parts[i] = tostring(part) end
    ngx.logged[#ngx.logged + 1] = level .. ": " .. table.concat(parts)
  end
  ngx.timer = { every = function(seconds, call)
    if ngx.no_timers then return nil, "too many pending timers" end
    ngx.timers[#ngx.timers + 1] = { seconds = seconds, call = call }
    return true
  end }
  ngx.print = function(text) ngx.printed = ngx.printed .. text end
  ngx.shared = { quickaudience = play_dict(function() return ngx.clock end) }
  rawset(_G, "ngx", ngx)
  return ngx
end

-- Equal clients share their figures, and a test wants its own.
local serial = 0

local function config(more)
  -- Nobody answers there, and linger keeps it from being tried.
  local given = { endpoint = "http://127.0.0.1:9", app_id = "a", access_key = "k",
    access_secret = "s", organization_id = "o", linger = 60, close_timeout = 0,
    access_id = "test " .. serial }
  for key, value in pairs(more or {}) do given[key] = value end
  return given
end

local EVENT = { customer_id = "u", event_code = "e" }

describe("nginx", function()
  local ngx, qa, core, claim

  -- A Lua VM of its own in a process of its own.
  local function load_anew()
    for name in pairs(package.loaded) do
      if name:find("^quickaudience%.nginx") then package.loaded[name] = nil end
    end
    local claimed
    core.claim_process = function()
      local first = not claimed
      claimed = true
      return first
    end
    return require "quickaudience.nginx"
  end

  before_each(function()
    serial = serial + 1
    core = require "quickaudience.core"
    claim = core.claim_process
    ngx = play_nginx()
    qa = load_anew()
  end)

  after_each(function()
    if qa.client() then qa.client():close(0) end
    core.claim_process = claim
    rawset(_G, "ngx", nil)
  end)

  local function logged(text)
    local count = 0
    for _, line in ipairs(ngx.logged) do
      if line:find(text, 1, true) then count = count + 1 end
    end
    return count
  end

  describe("setup", function()
    it("starts nothing, and refuses to report before the fork", function()
      ngx.phase = "init"
      assert.is_true(qa.setup(config()))
      local ok, message, code = qa.report(EVENT)
      assert.is_nil(ok)
      assert.equal("CONFIG", code)
      assert.truthy(message:find("cannot report before the fork", 1, true))
      assert.equal(0, #ngx.timers)
      ngx.phase = "log"
      assert.is_true(qa.report(EVENT))
      assert.equal(1, #ngx.timers)
      assert.is_true(qa.report(EVENT))
      assert.equal(1, #ngx.timers)
      assert.equal(2, qa.client():stats().accepted)
    end)

    it("may be called in init and in init_worker", function()
      ngx.phase = "init"
      assert.is_true(qa.setup(config()))
      ngx.phase = "init_worker"
      assert.is_true(qa.setup(config()))
      assert.is_true(qa.report(EVENT))
      local ok, message = qa.setup(config())
      assert.is_nil(ok)
      assert.truthy(message:find("in use already", 1, true))
    end)

    it("says what is wrong once, with what to do, and never a secret", function()
      ngx.phase = "init"
      local wrong = config { acess_key = "SECRET" }
      local ok, message, code = qa.setup(wrong)
      assert.is_nil(ok)
      assert.equal("CONFIG", code)
      assert.truthy(message:find("config.acess_key: unknown key; did you mean 'access_key'?", 1,
        true))
      ngx.phase = "init_worker"
      qa.setup(wrong)
      ngx.phase = "log"
      for _ = 1, 3 do assert.is_nil(qa.report(EVENT)) end
      assert.equal(1, #ngx.logged)
      assert.equal(1, logged("nginx reloaded"))
      assert.equal(0, logged("SECRET"))
    end)

    it("lets one worker say what all find wrong", function()
      ngx.phase, ngx.id = "init_worker", 1
      qa.setup(config { linger = -1 })
      assert.equal(0, #ngx.logged)
      qa, ngx.id = load_anew(), 0
      qa.setup(config { linger = -1 })
      assert.equal(1, logged("config.linger: expected a number"))
    end)

    it("checks its own keys and what only the client can tell", function()
      for text, more in pairs {
        ["config.interval: expected a number from 0.1 to 60"] = { interval = 0 },
        ["config.name: expected"] = { name = "a b" },
        ["did you mean 'shared_dict'?"] = { shared_dik = "x" },
        ["config.attributes.x: "] = { attributes = { x = print } },
      } do
        local ok, message = load_anew().setup(config(more))
        assert.is_nil(ok)
        assert.truthy(message:find(text, 1, true), message)
      end
      assert.has_error(function() qa.setup() end)
    end)

    it("works without a shared dict, and says so", function()
      ngx.shared = { quick_audience = ngx.shared.quickaudience }
      assert.is_true(qa.setup(config()))
      assert.equal(1, logged("did you mean 'quick_audience'?; add 'lua_shared_dict"))
      assert.is_true(qa.report(EVENT))
      qa.metrics()
      qa = load_anew()
      assert.is_true(qa.setup(config { shared_dict = false }))
      assert.is_nil(ngx.logged[2])
    end)

    it("says where a spool cannot be", function()
      local file = os.tmpname()
      for text, directory in pairs {
        ["cannot open '" .. file .. "': not a directory"] = file,
        ["cannot open '" .. file .. "/below': not a directory"] = file .. "/below",
        ["cannot open '" .. file .. ".none': no such file or directory"] = file .. ".none/spool/",
      } do
        ngx.logged = {}
        assert.is_true(load_anew().setup(config { spool = directory,
          shared_dict = false }))
        assert.equal(1, logged(text))
        assert.equal(1, logged("no events are reported until"))
      end
      ngx.logged = {}
      for _, directory in ipairs { file .. ".new", file:match("^.*/"), "spool" } do
        assert.is_true(load_anew().setup(config { spool = directory }))
      end
      assert.same({}, ngx.logged)
      os.remove(file)
    end)

    it("says all that is wrong around it at once", function()
      ngx.shared = {}
      assert.is_true(qa.setup(config { spool = "/none/spool" }))
      assert.equal(1, #ngx.logged)
      assert.equal(1, logged("lua_shared_dict quickaudience 1m"))
      assert.equal(1, logged("; and spool: cannot open '/none'"))
    end)

    it("is missed by name", function()
      qa.setup(config { name = "shop" })
      local ok, message, code = qa.report(EVENT, "shpo")
      assert.is_nil(ok)
      assert.equal("CONFIG", code)
      assert.truthy(message:find("did you mean 'shop'?", 1, true))
      assert.is_true(qa.report(EVENT, "shop"))
      qa.client("shop"):close(0)
    end)
  end)

  describe("hook", function()
    -- A site whose client hands what it is to report to `take`, as a table.
    local function site_of(take)
      local fake = {}
      function fake._reporter(_, shape)
        return function(...)
          local event = { attributes = {} }
          for i, item in ipairs(shape) do
            local value, into, key = select(i, ...), event, item[1]
            if item[2] then
              event[key] = event[key] or {}
              into, key = event[key], item[2]
            end
            if value ~= "" then into[key] = value end
          end
          take(event)
          return true
        end
      end
      return { skipped = {}, client = fake }
    end

    local function pass(_, ...) return ... end

    -- What a hook reports for a request of these variables.
    local function run(wanted, variables)
      local got
      local hook = require "quickaudience.nginx.hook"
      local site = site_of(function(event) got = event end)
      ngx.var = variables
      local made, problem = hook.compile(wanted, site, error, pass)
      assert.is_nil(problem)
      local ok, message, code = made()
      return got, site.skipped, made, ok, message, code
    end

    it("takes variables, headers, cookies, arguments, constants and functions", function()
      local event = run({ customer_id = "$remote_user", event_code = "page_view", is_order = false,
        customer_ids = { MOBILE = "$arg_mobile", EMAIL = { argument = "mail" } },
        attributes = { uri = "$uri", braces = "${uri}", agent = { header = "User-Agent" },
          sid = { cookie = "sid" }, host = { variable = "host" }, one = 1, text = "web",
          dollar = { constant = "$x" }, call = function() return "called" end,
          none = "$nothing", empty = "$empty" } },
        { remote_user = "u", uri = "/a", http_user_agent = "spec", cookie_sid = "s", host = "h",
          arg_mobile = "139", arg_mail = "a@b", empty = "" })
      assert.equal("u", event.customer_id)
      assert.equal("page_view", event.event_code)
      assert.is_false(event.is_order)
      assert.same({ MOBILE = "139", EMAIL = "a@b" }, event.customer_ids)
      assert.same({ uri = "/a", braces = "/a", agent = "spec", sid = "s", host = "h", one = 1,
        text = "web", dollar = "$x", call = "called" }, event.attributes)
    end)

    it("keeps nothing from one request to the next", function()
      local got, _, made = run({ customer_id = "$u", event_code = "$code",
        attributes = { a = "$a" } }, { u = "1", code = "c", a = "x" })
      assert.same({ a = "x" }, got.attributes)
      local last
      local hook = require "quickaudience.nginx.hook"
      made = hook.compile({ customer_id = "$u", event_code = "e", attributes = { a = "$a" } },
        site_of(function(event) last = event.attributes.a end), error, pass) or made
      ngx.var = { u = "1", a = "x" }
      made()
      assert.equal("x", last)
      ngx.var = { u = "1" }
      made()
      assert.is_nil(last)
    end)

    it("takes 200 values, and says so where there are more", function()
      local wanted = { customer_id = "$u", event_code = "e", attributes = {} }
      for i = 1, 198 do wanted.attributes["a" .. i] = "constant " .. i end
      local event = run(wanted, { u = "1" })
      assert.equal("constant 198", event.attributes.a198)
      wanted.attributes.one_more = "x"
      local made, problem = require("quickaudience.nginx.hook").compile(wanted, { skipped = {} },
        error, pass)
      assert.is_nil(made)
      assert.truthy(problem:find("^hook: more than 200 values"), problem)
    end)

    it("counts on when setup is called again, in init_worker", function()
      qa.setup(config())
      local made = qa.hook { event_code = "e", customer_id = "$u" }
      ngx.var = {}
      made()
      qa.setup(config())
      made()
      assert.is_true(qa.report(EVENT))
      ngx.printed = ""
      qa.metrics()
      assert.truthy(ngx.printed:find('requests_skipped_total{[^}]*"no_customer"[^}]*} 2\n'))
    end)

    it("takes the first customer id that is there, and counts who has none", function()
      local wanted = { event_code = "e", customer_id = { "$remote_user", { cookie = "uid" },
        { header = "X-User" } } }
      assert.equal("c", (run(wanted, { remote_user = "", cookie_uid = "c" })).customer_id)
      local got, skipped, _, ok, message, code = run(wanted, {})
      assert.is_nil(got)
      assert.same({ no_customer = 1 }, skipped)
      assert.is_nil(ok)
      assert.equal("hook: skipped, no_customer", message)
      assert.equal("SKIPPED", code)
    end)

    it("filters and samples", function()
      for _, filter in ipairs { "$wanted", function() return ngx.var.wanted == "1" end } do
        local wanted = { event_code = "e", customer_id = "$u", filter = filter }
        assert.truthy((run(wanted, { u = "1", wanted = "1" })))
        for _, no in ipairs { "0", "" } do
          local got, skipped = run(wanted, { u = "1", wanted = no })
          assert.is_nil(got)
          assert.same({ filtered = 1 }, skipped)
        end
      end
      assert.is_nil((run({ event_code = "e", customer_id = "$u", sample = 0 }, { u = "1" })))
      assert.truthy((run({ event_code = "e", customer_id = "$u", sample = 1 }, { u = "1" })))
      local _, skipped, made = run({ event_code = "e", customer_id = "$u", sample = 0.25 },
        { u = "1" })
      for _ = 1, 4000 do made() end
      assert.truthy(skipped.sampled > 2700 and skipped.sampled < 3300, skipped.sampled)
    end)

    it("does not fail the request when a function raises", function()
      local _, skipped, _, ok, message = run({ event_code = "e", customer_id = "$u",
        attributes = { a = function() error("oh", 0) end } }, { u = "1" })
      assert.is_nil(ok)
      assert.equal("hook: oh", message)
      assert.same({ error = 1 }, skipped)
    end)

    it("names what is wrong", function()
      local hook = require "quickaudience.nginx.hook"
      for text, wanted in pairs {
        ["hook.custmer_id: unknown key; did you mean 'customer_id'?"] = { custmer_id = "$u" },
        ["hook.event_code: missing"] = { customer_id = "$u" },
        ["hook.customer_id: missing"] = { event_code = "e" },
        ["hook.customer_id: the same for every request; did you mean \"$uid\"?"] =
          { event_code = "e", customer_id = "uid" },
        ["hook.attributes.a: '$uri-$host' is not one variable"] =
          { event_code = "e", customer_id = "$u", attributes = { a = "$uri-$host" } },
        ["hook.attributes.a.heder: unknown source; did you mean 'header'?"] =
          { event_code = "e", customer_id = "$u", attributes = { a = { heder = "X" } } },
        ["hook.attributes.a: expected one of"] =
          { event_code = "e", customer_id = "$u", attributes = { a = {} } },
        ["hook.attributes: expected a table, got string"] =
          { event_code = "e", customer_id = "$u", attributes = "$uri" },
        ["hook.sample: expected a number from 0 to 1, got 2"] =
          { event_code = "e", customer_id = "$u", sample = 2 },
        ["hook.filter: expected a function or a variable"] =
          { event_code = "e", customer_id = "$u", filter = true },
      } do
        local made, problem = hook.compile(wanted, { skipped = {} }, error, pass)
        assert.is_nil(made)
        assert.truthy(problem:find(text, 1, true), problem)
      end
    end)

    it("reports nothing when it is wrong, and says so once", function()
      qa.setup(config())
      local made = qa.hook { event_code = "e", customer_id = "u" }
      for _ = 1, 3 do
        local ok, _, code = made()
        assert.is_nil(ok)
        assert.equal("CONFIG", code)
      end
      assert.equal(1, #ngx.logged)
      assert.has_error(function() qa.hook() end)
    end)

    it("reports to the client", function()
      qa.setup(config())
      local made = qa.hook { event_code = "e", customer_id = "$u" }
      ngx.var = { u = "1" }
      assert.is_true(made())
      assert.equal(1, qa.client():stats().accepted)
    end)
  end)

  describe("figures", function()
    local function figure(name)
      ngx.printed = ""
      qa.metrics()
      return tonumber(ngx.printed:match("\n" .. name .. "{[^}\n]*} (%S+)"))
    end

    local function keys_of(dict)
      local count = 0
      for _ in pairs(dict.values) do count = count + 1 end
      return count
    end

    it("add up over workers that come and go, with a bounded number of keys", function()
      local most = 0
      for worker = 1, 20 do
        ngx.pid = worker
        qa = load_anew()
        qa.setup(config())
        assert.is_true(qa.report(EVENT))
        ngx.timers[#ngx.timers].call()
        assert.equal(worker, figure("quickaudience_events_accepted_total"))
        qa.client():close(0) -- and the worker is gone without another word
        ngx.clock = ngx.clock + 2
        if worker == 10 then most = keys_of(ngx.shared.quickaudience) end
      end
      assert.truthy(keys_of(ngx.shared.quickaudience) <= most)
      assert.equal(2, figure("quickaudience_workers")) -- those of the last five seconds
      ngx.clock = ngx.clock + 6
      assert.equal(1, figure("quickaudience_workers")) -- the one that asks
    end)

    -- As the worker of this process id; then the figures of all.
    local function publish(pid, stats)
      local figures = require "quickaudience.nginx.figures"
      ngx.pid = pid
      local site = { name = "default", interval = 1, refused = {}, skipped = {},
        dict = ngx.shared.quickaudience, settings = { spool = stats.spool and "/spool" } }
      assert.is_true(figures.publish(site, stats))
      return figures.render { { stats = figures.sum(site), labels = { client = "default" } } }
    end

    it("do not add up what workers share", function()
      publish(1, { spool = { state = "ok", files = 2, bytes = 8192, corrupt_files = 1, commits = 10,
        last_commit = 0.5, adopted = 3, on_disk_only = 100 } })
      local text = publish(2, { spool = { state = "failed", files = 2, bytes = 4096,
        corrupt_files = 1, commits = 5, last_commit = 0.25, adopted = 4, on_disk_only = 50 } })
      for name, value in pairs { ["files{"] = 2, ["bytes{"] = 8192, ["corrupt_files{"] = 1,
        ["last_commit_seconds{"] = 0.5, ["commits_total{"] = 15,
        ["adopted_events_total{"] = 7, ["on_disk_only_events{"] = 150,
        ['state{client="default",state="ok"'] = 1,
        ['state{client="default",state="failed"'] = 1 } do
        local _, to = text:find("\nquickaudience_spool_" .. name, 1, true)
        assert.equal(value, to and tonumber(text:match("^[^}]*} (%S+)", to)), name)
      end
    end)

    it("show those of a spool where there is one", function()
      local spool = { state = "ok", files = 1, bytes = 0, corrupt_files = 0, commits = 0,
        last_commit = 0, adopted = 0, on_disk_only = 0 }
      assert.truthy(publish(1, { spool = spool })
        :find('spool_commits_total{client="default"} 0\n', 1, true))
      ngx.shared.quickaudience = play_dict(function() return ngx.clock end)
      assert.falsy(publish(1, {}):find("spool_", 1, true))
    end)

    it("know every reason for which an event is dropped", function()
      local client = require("quickaudience").new(config())
      local stats = client:stats()
      client:close(0)
      for reason in pairs(stats.dropped) do stats.dropped[reason] = 1 end
      local text = publish(1, stats)
      for reason in pairs(stats.dropped) do
        assert.truthy(text:find('dropped_total{client="default",reason="' .. reason .. '"} 1', 1,
          true), reason)
      end
    end)

    it("include what was refused and skipped", function()
      qa.setup(config { queue_events = 1 })
      qa.report(EVENT)
      for _ = 1, 3 do qa.report(EVENT) end
      assert.equal(3, figure("quickaudience_events_refused_total"))
      local pending = 0
      for count in ngx.printed:gmatch("quickaudience_events_pending{[^}]*} (%d+)") do
        pending = pending + tonumber(count)
      end
      assert.equal(1, pending)
      assert.equal("text/plain; version=0.0.4; charset=utf-8", ngx.header["Content-Type"])
    end)

    it("introduce each metric once, for several clients", function()
      qa.setup(config())
      qa.setup(config { name = "shop", access_id = "shop" .. serial })
      qa.report(EVENT)
      qa.report(EVENT, "shop")
      qa.metrics()
      local count = select(2, ngx.printed:gsub("# TYPE quickaudience_events_accepted_total ", ""))
      assert.equal(1, count)
      assert.truthy(ngx.printed:find('accepted_total{client="default"} 1', 1, true))
      assert.truthy(ngx.printed:find('accepted_total{client="shop"} 1', 1, true))
      qa.client("shop"):close(0)
    end)

    it("are all explained in the page for operators", function()
      local file = assert(io.open("docs/openresty.md"))
      local text = file:read("*a")
      file:close()
      for _, metric in ipairs(require("quickaudience.nginx.figures").metrics) do
        assert.truthy(text:find("`" .. metric.name .. "`", 1, true), metric.name)
      end
    end)

    it("say once when the shared dict is full", function()
      qa.setup(config())
      qa.report(EVENT)
      ngx.shared.quickaudience.full = true
      for _ = 1, 3 do ngx.timers[1].call() end
      assert.equal(1, logged("cannot publish figures: no memory"))
    end)
  end)

  describe("timer", function()
    it("gives way to the reports when the worker exits or there is none", function()
      qa.setup(config { queue_events = 2 })
      qa.report(EVENT)
      ngx.timers[1].call(true) -- premature
      qa.report(EVENT)
      qa.report(EVENT)
      assert.equal(0, logged("refused with QUEUE_FULL"))
      ngx.clock = ngx.clock + 2
      qa.report(EVENT)
      assert.equal(1, logged("refused with QUEUE_FULL"))
      qa.client():close(0)
      qa, ngx.no_timers = load_anew(), true
      qa.setup(config())
      assert.is_true(qa.report(EVENT))
      assert.equal(1, logged("cannot start a timer: too many pending timers"))
    end)

    it("is not missed by a worker that reports for the first time when it exits", function()
      ngx.is_exiting = true
      qa.setup(config())
      assert.is_true(qa.report(EVENT))
      assert.equal(0, #ngx.timers)
      assert.equal(0, #ngx.logged)
      ngx.clock = ngx.clock + 2
      assert.is_true(qa.report(EVENT))
      assert.equal(2, ngx.shared.quickaudience:get("default:accepted"))
    end)

    it("sums up failures in one line, and hands over delivery reports", function()
      local reports = 0
      qa.setup(config { queue_events = 2, on_delivery = function() reports = reports + 1 end })
      for _ = 1, 10 do qa.report(EVENT) end
      ngx.timers[1].call()
      assert.equal(1, #ngx.logged)
      ngx.timers[1].call()
      assert.equal(1, logged("default: 8 refused with QUEUE_FULL"))
      qa.client():close(0)
      ngx.timers[1].call()
      assert.equal(1, logged("default: 2 dropped, closed"))
      assert.equal(1, reports)
    end)

    it("says what becomes of the spool, once and then once a minute", function()
      local summary = require "quickaudience.nginx.summary"
      local site = { name = "default", refused = {}, skipped = {}, seen = {} }
      local function tick(seconds, spool)
        ngx.clock = ngx.clock + seconds
        summary.log(site, { state = "running", dead = 0, dropped = {}, spool = spool })
      end
      tick(1, { state = "ok", corrupt_files = 0 })
      assert.equal(0, #ngx.logged)
      local full = { state = "full", message = "spool: cannot write 'x': disk full",
        corrupt_files = 1, corrupt_name = "x.db.corrupt" }
      for _ = 1, 30 do tick(1, full) end
      assert.same({ "error: quickaudience: default: 1 damaged spool files set aside "
        .. "(x.db.corrupt); new events are refused, the spool has no room: spool: cannot write "
        .. "'x': disk full" }, ngx.logged)
      for _ = 1, 31 do tick(1, full) end
      assert.equal(2, #ngx.logged)
      tick(1, { state = "ok", corrupt_files = 1 })
      assert.equal("notice: quickaudience: default: the spool works again", ngx.logged[3])
    end)

    -- See TERM_TIMEOUT; of TERM a worker learns nothing before its end.
    it("leaves several workers less time unless they end gracefully", function()
      for workers, expected in ipairs { 2, 1.2 } do
        qa, ngx.workers = load_anew(), workers
        qa.setup(config { close_timeout = 2, name = "n" .. workers })
        assert.is_true(qa.report(EVENT, "n" .. workers))
        local private = qa.client("n" .. workers):_private()
        assert.equal(expected, private.close_timeout)
        ngx.timers[#ngx.timers].call(true) -- premature: QUIT, HUP
        assert.equal(2, private.close_timeout)
        qa.client("n" .. workers):close(0)
      end
    end)

    it("publishes the last figures at the exit of a worker", function()
      qa.setup(config { close_timeout = 0 })
      qa.report(EVENT)
      ngx.phase = "exit_worker"
      qa.exit()
      assert.equal(1, ngx.shared.quickaudience:get("default:dropped|closed"))
    end)
  end)
end)
