--- nginx.lua
-- At home in nginx: a client for each worker, made after the fork; hooks, metrics, summaries.
-- Does not know how an event is made from a request (nginx/hook), nor how figures are added up.
-- SPDX-License-Identifier: MIT
--
--   init_by_lua_block { require("quickaudience.nginx").setup { endpoint = …, … } }
--   log_by_lua_block  { require("quickaudience.nginx").report { customer_id = …, … } }
local client = require "quickaudience.client"
local core = require "quickaudience.core"
local figures = require "quickaudience.nginx.figures"
local hook = require "quickaudience.nginx.hook"
local settings = require "quickaudience.nginx.settings"
local summary = require "quickaudience.nginx.summary"

local M = {}

---@class quickaudience.nginx.site what one setup() stands for, in one Lua VM
---@field name string
---@field settings table|nil of the client; nil: the setup was wrong
---@field problem string|nil what was wrong with it
---@field client quickaudience.client|nil made on first use in a worker
---@field interval number seconds between two ticks
---@field dict table|nil the shared dict
---@field refused table<string, integer> events that report() refused, by code
---@field skipped table<string, integer> requests of which a hook made no event, by reason
local sites, order = {}, {}

-- What was said in the error log: init_worker must not repeat what init has said.
local said = {}

local clock = { due = nil, running = false, over = false }

-- Seconds. After TERM nginx's master kills all workers at 3.15 s; but from 1.55 s on it does so as
-- soon as one of several has ended. What is left then has to be made safe before that.
local TERM_TIMEOUT = 1.2

local function say(message)
  if said[message] then return end
  said[message] = true
  -- Each worker runs init_worker; one of them is enough to tell.
  local id = ngx.get_phase() == "init_worker" and ngx.worker.id() or 0
  if id == 0 then ngx.log(ngx.ERR, "quickaudience: ", message) end
end

-- ---- a worker's tick ----------------------------------------------------------------------------

local function tick_site(site)
  if not site.client then return end
  site.client:poll()
  local stats = site.client:stats()
  local ok, problem = figures.publish(site, stats)
  if not ok then say(problem) end
  summary.log(site, stats)
end

local function tick()
  clock.due = ngx.now() + clock.interval
  for _, name in ipairs(order) do
    local ok, message = pcall(tick_site, sites[name])
    if not ok then say("internal error: " .. tostring(message)) end
  end
end

-- How long a client may deliver at the end of the worker.
local function end_timeout(site, gracefully)
  local timeout = site.settings.close_timeout
  if gracefully or ngx.worker.count() <= 1 then return timeout end
  return math.min(timeout, TERM_TIMEOUT)
end

-- For its end, if nobody closes it. TERM comes without a warning.
local function prepare_end(site, gracefully)
  site.client:_private().close_timeout = end_timeout(site, gracefully)
end

-- Once the worker exits no timer runs any more, but requests that drain still report.
local function on_timer(premature)
  if premature then
    clock.running, clock.over = false, true
    for _, site in pairs(sites) do
      if site.client then prepare_end(site, true) end
    end
  end
  tick()
end

-- One timer in a process: with lua_code_cache off each request has a Lua VM of its own, and the
-- first that reports keeps the timer.
local function start_clock(site)
  clock.interval = math.min(clock.interval or site.interval, site.interval)
  if clock.running or clock.over or not core.claim_process("quickaudience.nginx") then return end
  clock.due = ngx.now() + clock.interval
  if ngx.worker.exiting() then
    clock.over = true
    return
  end
  -- It raises where no timer can be made, as in exit_worker.
  local called, ok, message = pcall(ngx.timer.every, clock.interval, on_timer)
  if not called then ok, message = nil, ok end
  clock.running, clock.over = ok and true, not ok
  if not ok then
    say("cannot start a timer: " .. tostring(message) .. "; figures and summaries now come with "
      .. "the reports; raise lua_max_running_timers and lua_max_pending_timers")
  end
end

-- ---- clients ------------------------------------------------------------------------------------

-- Before the fork a thread would be the master's, and a file root's.
local function open(site)
  if site.problem then return nil, site.problem, "CONFIG" end
  local phase = ngx.get_phase()
  if phase == "init" then
    return nil, "nginx: cannot report before the fork (init_by_lua); report in init_worker_by_lua "
      .. "or later", "CONFIG"
  end
  local opened, message, code = client.new(site.settings)
  if not opened then
    say(message)
    return nil, message, code
  end
  site.client = opened
  prepare_end(site, ngx.worker.exiting())
  start_clock(site)
  return opened
end

local NOT_SET_UP = "nginx: setup() was not called%s; call require(\"quickaudience.nginx\").setup "
  .. "in init_by_lua_block (not in init_worker_by_lua_block if lua_code_cache is off)"

local function site_of(name)
  local site = sites[name or settings.NAME]
  if site then return site end
  local problem = NOT_SET_UP:format(name and " with name = \"" .. tostring(name) .. "\"" or "")
  local meant = name and core.nearest(tostring(name), order)
  if meant then problem = problem .. "; did you mean '" .. meant .. "'?" end
  say(problem)
  return nil, problem, "CONFIG"
end

--- This worker's client, for send, flush, check and the like.
---@param name string|nil as given to setup; nil: the one set up without a name
---@return quickaudience.client|nil
---@return string|nil message
---@return string|nil code
function M.client(name)
  local site, message, code = site_of(name)
  if not site then return nil, message, code end
  if site.client then return site.client end
  return open(site)
end

local function refuse(site, message, code)
  site.refused[code] = (site.refused[code] or 0) + 1
  site.last_refusal = message
  return nil, message, code
end

local function open_to_report(site)
  local opened, message, code = open(site)
  if opened then return opened end
  return refuse(site, message, code)
end

-- What a report came to.
local function done(site, ok, message, code)
  if clock.over and ngx.now() >= clock.due then tick() end
  if ok then return true end
  return refuse(site, message, code)
end

--- Accepts an event, in every phase; never waits.
---@param event table
---@param name string|nil as given to setup
---@return true|nil
---@return string|nil message
---@return string|nil code
function M.report(event, name)
  local site, message, code = site_of(name)
  if not site then return nil, message, code end
  local opened = site.client
  if not opened then opened, message, code = open_to_report(site) end
  if not opened then return nil, message, code end
  return done(site, opened:report(event))
end

--- Makes, once, the function that reports an event about the request that calls it.
--- A wrong table is said in the error log, and the function then does nothing.
---@param wanted table see docs/openresty.md
---@return fun(): true|nil, string|nil, string|nil
function M.hook(wanted)
  if type(wanted) ~= "table" then
    error("bad argument #1 to 'hook' (expected a table, got " .. type(wanted) .. ")", 2)
  end
  local made, problem
  local site, message = site_of(wanted.client)
  if site then made, problem = hook.compile(wanted, site, open_to_report, done) end
  if made then return made end
  problem = problem or message
  say(problem)
  return function() return nil, problem, "CONFIG" end
end

-- ---- setup --------------------------------------------------------------------------------------

--- Takes the configuration; safe in init_by_lua and in init_worker_by_lua, and in both.
---@param config table the client's keys, and `name`, `shared_dict`, `interval`
---@return true|nil
---@return string|nil message also said in the error log
---@return string|nil code
function M.setup(config)
  if type(config) ~= "table" then
    error("bad argument #1 to 'setup' (expected a table, got " .. type(config) .. ")", 2)
  end
  local site, problem = settings.read(config)
  local before = sites[site.name]
  if before and before.client then
    say("setup: '" .. site.name .. "' is in use already; call setup in init_by_lua_block")
    return nil, "setup: '" .. site.name .. "' is in use already", "CONFIG"
  end
  if not before then order[#order + 1] = site.name end
  -- Hooks hold the site: it stays the same table.
  local kept = before or {}
  local skipped = kept.skipped
  for key in pairs(kept) do kept[key] = nil end
  for key, value in pairs(site) do kept[key] = value end
  kept.skipped = skipped or kept.skipped -- they hold this one too
  sites[site.name] = kept
  if problem then say(problem) end
  if site.settings and ngx.get_phase() == "init" then
    -- A worker has a number, so has the process that becomes the master at the start; a master that
    -- reloads has none.
    core.main_vm(end_timeout(site, false), ngx.worker.id() == nil)
  end
  if site.problem then return nil, site.problem, "CONFIG" end
  return true
end

-- ---- metrics and the end ------------------------------------------------------------------------

--- A content handler: the figures of all workers, dead ones included, as Prometheus text.
function M.metrics()
  local list = {}
  for _, name in ipairs(order) do
    local site = sites[name]
    if clock.running or clock.over then tick_site(site) end
    list[#list + 1] = { stats = figures.sum(site), labels = { client = name } }
  end
  ngx.header["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8"
  ngx.print(figures.render(list))
end

--- For exit_worker_by_lua: delivers what is left, and publishes the worker's last figures.
--- Without it the same is delivered, but the figures lack what happened since the last tick.
function M.exit()
  local open_sites, gracefully = {}, ngx.worker.exiting()
  ngx.update_time()
  local start = ngx.now()
  for _, name in ipairs(order) do
    local site = sites[name]
    if site.client then
      open_sites[#open_sites + 1] = site
      site.client:flush(0)
    end
  end
  -- Their times run together: the master does not wait longer because there are more clients.
  for _, site in ipairs(open_sites) do
    ngx.update_time()
    site.client:close(math.max(0, end_timeout(site, gracefully) - (ngx.now() - start)))
    tick_site(site)
  end
end

return M
