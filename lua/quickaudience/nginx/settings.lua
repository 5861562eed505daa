--- settings.lua
-- Checks what nginx's setup() takes: the client's configuration and nginx's own keys.
-- Does not know what the keys are used for.
-- SPDX-License-Identifier: MIT
local config = require "quickaudience.config"
local core = require "quickaudience.core"

local M = {}

--- The name of the client of whoever needs only one.
M.NAME = "default"
M.SHARED_DICT = "quickaudience"
local INTERVAL, INTERVAL_MIN, INTERVAL_MAX = 1, 0.1, 60

local OWN = { "name", "shared_dict", "interval" }

-- The client's part and nginx's part of what was given.
local function split(given)
  local rest, own = {}, {}
  for key, value in pairs(given) do rest[key] = value end
  for _, key in ipairs(OWN) do own[key], rest[key] = given[key], nil end
  return rest, own
end

-- It stands in keys of the shared dict and in a label.
local function check_name(name)
  if name == nil then return M.NAME end
  if type(name) == "string" and #name <= 64 and name:find("^[%w_.-]+$") then return name end
  return M.NAME, "config.name: expected up to 64 letters, digits, '_', '-' or '.'"
end

local function check_interval(value)
  if value == nil then return INTERVAL end
  if type(value) == "number" and value >= INTERVAL_MIN and value <= INTERVAL_MAX then
    return value
  end
  return INTERVAL, string.format("config.interval: expected a number from %g to %g (seconds)",
    INTERVAL_MIN, INTERVAL_MAX)
end

-- Without one everything but metrics() works, so this is said and stops nothing.
local function find_dict(name)
  if name == false then return nil end
  name = name or M.SHARED_DICT
  local shared = ngx.shared or {}
  if shared[name] then return shared[name] end
  local known = {}
  for other in pairs(shared) do known[#known + 1] = other end
  table.sort(known)
  local meant = core.nearest(tostring(name), known)
  return nil, string.format("config.shared_dict: there is no lua_shared_dict '%s'%s; "
    .. "add 'lua_shared_dict %s 1m;' to the http block, or set shared_dict = false to go without "
    .. "metrics", tostring(name), meant and ", did you mean '" .. meant .. "'?" or "",
    tostring(name))
end

-- What only the client itself can tell, as what is wrong with common attributes. It starts nothing
-- and is closed at once; without the spool no file is opened before the worker's user is known.
local function try(checked)
  local trial = {}
  for key, value in pairs(checked) do trial[key] = value end
  trial.spool, trial.on_delivery = nil, nil
  local client, message = core.new(trial)
  if not client then return message end
  client:_close(0)
end

-- A spool's directory is made and opened by the worker, as its user; what is wrong with it for any
-- user is known now. It stops nothing: the client looks again until it is mended.
local function check_spool(directory)
  if not directory then return nil end
  local found, message = core.spool_files(directory)
  if not found and message:find("no such file", 1, true) then
    local parent = directory:match("^(.*[^/])/+[^/]+/*$") or directory:match("^/") or "."
    found, message = core.spool_files(parent)
  end
  return not found and message .. "; no events are reported until the spool's directory can be used"
    or nil
end

-- A misspelt key may be one of nginx's own, which the client does not know.
local function improve(message)
  local key = message:match("^config%.(.-): unknown key$")
  local meant = key and core.nearest(key, OWN)
  return meant and message .. "; did you mean '" .. meant .. "'?" or message
end

local function wrong(message)
  return "setup: " .. improve(message)
    .. "; no events are reported until this is mended and nginx reloaded"
end

--- The site that a configuration stands for; `problem` is what to say about it, and the site's own
--- `problem` is set if it cannot report.
---@param given table
---@return quickaudience.nginx.site
---@return string|nil problem
function M.read(given)
  local rest, own = split(given)
  local name, name_problem = check_name(own.name)
  local interval, interval_problem = check_interval(own.interval)
  local site = { name = name, interval = interval, refused = {}, skipped = {}, seen = {} }
  local checked, message = config.check(rest)
  message = name_problem or interval_problem or message or checked and try(checked)
  if message then
    site.problem = wrong(message)
    return site, site.problem
  end
  site.settings = checked
  local dict, problem = find_dict(own.shared_dict)
  site.dict = dict
  M.watch_deliveries(site)
  local problems = { problem }
  problems[#problems + 1] = check_spool(checked.spool)
  return site, problems[1] and "setup: " .. table.concat(problems, "; and ")
end

--- Keeps the last reason of each failed outcome for the summary, then calls the user's function.
---@param site quickaudience.nginx.site
function M.watch_deliveries(site)
  local on_delivery = site.settings.on_delivery
  site.settings.on_delivery = function(report)
    if report.status ~= "delivered" then site.seen[report.status .. "_message"] = report.message end
    if on_delivery then return on_delivery(report) end
  end
end

return M
