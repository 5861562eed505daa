--- figures.lua
-- Adds up the figures of all workers, dead ones included, in a shared dict of nginx.
-- Does not know how a client gets its figures.
-- SPDX-License-Identifier: MIT
--
-- A counter has one key, to which each worker adds what it counted since it last did: so what a
-- worker counted outlives it. A gauge has a value in each worker: it stands in the worker's slot,
-- which expires soon after the worker is gone. So the keys are bounded whatever happens.
local prometheus = require "quickaudience.prometheus"

local M = {}

local SLOTS_MAX = 1024
-- Ticks that a slot outlives its worker.
local SLOT_TICKS = 5

-- Beside the client's own.
local OWN = {
  { name = "events_refused_total", type = "counter", path = "refused", label = "code",
    help = "Events that report() refused, by code." },
  { name = "requests_skipped_total", type = "counter", path = "skipped", label = "reason",
    help = "Requests of which a hook made no event, by reason." },
  { name = "workers", type = "gauge", path = "workers",
    help = "Workers that have published figures of late." },
}

---@type quickaudience.prometheus.metric[]
M.metrics = {}
for _, list in ipairs { prometheus.metrics, OWN } do
  for _, metric in ipairs(list) do M.metrics[#M.metrics + 1] = metric end
end
M.own_metrics = OWN

-- Of these, and of what workers share, the largest is shown; of other gauges the sum.
local LARGEST = { oldest_age = true, clock_offset = true, ["spool.last_commit"] = true }
for _, metric in ipairs(M.metrics) do
  if metric.shared then LARGEST[metric.path] = true end
end

-- Calls visit(metric, key, value) for each number of the figures; a key is as "dropped|deadline".
local function each(stats, visit)
  for _, metric in ipairs(M.metrics) do
    local value = prometheus.lookup(stats, metric.path)
    if metric.values then
      if value then visit(metric, metric.path .. "|" .. value, 1) end
    elseif metric.type == "summary" then
      if value then
        visit(metric, metric.path .. "|count", value.count)
        visit(metric, metric.path .. "|sum", value.sum)
      end
    elseif metric.label then
      for name, number in pairs(value or {}) do
        if name ~= "total" then visit(metric, metric.path .. "|" .. name, number) end
      end
    elseif value then
      visit(metric, metric.path, value)
    end
  end
end

-- ---- a worker's part ----------------------------------------------------------------------------

-- The worker's slot, a number; it is kept from tick to tick.
local function claim_slot(site, lifetime)
  local dict, pid, prefix = site.dict, ngx.worker.pid(), site.name .. ":slot:"
  if site.slot and dict:get(prefix .. site.slot) == pid then
    dict:set(prefix .. site.slot, pid, lifetime)
    return site.slot
  end
  for slot = 1, SLOTS_MAX do
    local added, problem = dict:add(prefix .. slot, pid, lifetime)
    if added then
      site.slot = slot
      local high = dict:get(site.name .. ":slots") or 0
      if slot > high then dict:set(site.name .. ":slots", slot) end
      return slot
    elseif problem ~= "exists" then
      return nil, problem
    end
  end
  return nil, "more than " .. SLOTS_MAX .. " workers"
end

local function add_to_counter(site, key, value)
  local delta = value - (site.published[key] or 0)
  if delta == 0 then return true end
  local ok, problem = site.dict:incr(site.name .. ":" .. key, delta, 0)
  if not ok then return nil, problem end
  site.published[key] = value
  return true
end

--- Publishes what this worker has to tell.
---@param site quickaudience.nginx.site
---@param stats table what client:stats() returned
---@return true|nil
---@return string|nil problem
function M.publish(site, stats)
  if not site.dict then return true end
  site.published = site.published or {}
  stats.refused, stats.skipped, stats.workers = site.refused, site.skipped, 1
  local gauges, problem = {}, nil
  each(stats, function(metric, key, value)
    if metric.type == "gauge" then
      gauges[#gauges + 1] = key .. "=" .. string.format("%.17g", value)
    else
      local ok, message = add_to_counter(site, key, value)
      if not ok then problem = message end
    end
  end)
  local lifetime = math.max(1, SLOT_TICKS * site.interval)
  local slot, message = claim_slot(site, lifetime)
  if slot then
    local ok
    ok, message = site.dict:set(site.name .. ":gauges:" .. slot, table.concat(gauges, "\n"),
      lifetime)
    if ok then message = nil end
  end
  problem = problem or message
  if not problem then return true end
  return nil, "cannot publish figures: " .. problem .. "; make the lua_shared_dict larger (1m is "
    .. "enough), and give it to nobody else"
end

-- ---- all workers together -----------------------------------------------------------------------

local function store(sums, key, value)
  local path, label = key:match("^([^|]*)|?(.*)$")
  if label == "" then
    sums[path] = value
  else
    sums[path] = sums[path] or {}
    sums[path][label] = value
  end
end

local function sum_gauges(site)
  local totals = {}
  for slot = 1, site.dict:get(site.name .. ":slots") or 0 do
    for key, text in (site.dict:get(site.name .. ":gauges:" .. slot) or "")
      :gmatch("([^=\n]+)=([^\n]+)") do
      local value, before = tonumber(text), totals[key]
      if not before then
        totals[key] = value
      elseif LARGEST[key] then
        totals[key] = math.max(before, value)
      else
        totals[key] = before + value
      end
    end
  end
  return totals
end

-- Labels that a counter can have; those that never counted are not shown.
local LABELS = {
  dropped = { "deadline", "closed", "damaged" },
  skipped = { "no_customer", "filtered", "sampled", "error" },
  codes = { "OK", "CONFIG", "INVALID_EVENT", "QUEUE_FULL", "SPOOL_FULL", "CLOSED", "TIMEOUT",
    "NETWORK", "TLS", "HTTP", "REJECTED", "AUTH", "BAD_RESPONSE", "SPOOL", "NO_MEMORY" },
}

local function counter_keys(metric)
  if metric.type == "summary" then return { "count", "sum" } end
  return metric.label and (LABELS[metric.path] or LABELS.codes) or { "" }
end

-- What never counted is 0, but for what is not there.
local function is_there(site, metric)
  local keeps = site.settings and site.settings.spool
  return keeps or not metric.path:find("^spool%.")
end

local function sum_counters(site, sums)
  for _, metric in ipairs(M.metrics) do
    if metric.type ~= "gauge" and is_there(site, metric) then
      for _, label in ipairs(counter_keys(metric)) do
        local key = metric.path .. (label ~= "" and "|" .. label or "")
        local value = site.dict:get(site.name .. ":" .. key)
        if value or not metric.label then store(sums, key, value or 0) end
      end
    end
  end
end

--- The figures of all workers, by the path of each metric. Empty without a shared dict.
---@param site quickaudience.nginx.site
---@return table<string, number|table<string, number>>
function M.sum(site)
  local sums = {}
  if not site.dict then return sums end
  sum_counters(site, sums)
  for key, value in pairs(sum_gauges(site)) do store(sums, key, value) end
  return sums
end

--- Prometheus text of the figures of several clients. Of the state it tells how many workers are
--- in it, and summaries have no quantiles, because those cannot be added up.
---@param list { stats: table, labels: table<string, string> }[]
---@return string
function M.render(list)
  return prometheus.render_all(list, M.metrics, rawget)
end

return M
