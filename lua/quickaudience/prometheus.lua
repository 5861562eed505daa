--- prometheus.lua
-- Writes the figures of client:stats() in Prometheus' text format.
-- Does not know where they come from.
-- SPDX-License-Identifier: MIT
local M = {}

---@class quickaudience.prometheus.metric
---@field name string without the prefix
---@field type "counter"|"gauge"|"summary"
---@field path string where in the stats it stands
---@field label string|nil the stats hold a table there: its keys are this label's values
---@field values string[]|nil the label's values when the stats hold one of them
---@field shared boolean|nil it describes what processes share: their values must not be added up
---@field help string

M.PREFIX = "quickaudience_"

---@type quickaudience.prometheus.metric[]
M.metrics = {
  { name = "events_accepted_total", type = "counter", path = "accepted",
    help = "Events that report() accepted." },
  { name = "events_delivered_total", type = "counter", path = "delivered",
    help = "Events that the service confirmed." },
  { name = "events_dead_total", type = "counter", path = "dead",
    help = "Events that the service refused." },
  { name = "events_dropped_total", type = "counter", path = "dropped", label = "reason",
    help = "Events given up, by reason." },
  { name = "events_pending", type = "gauge", path = "pending", label = "place",
    help = "Accepted events that have not ended, by where they are." },
  { name = "oldest_pending_seconds", type = "gauge", path = "oldest_age",
    help = "Age of the oldest event that has not ended." },
  { name = "queue_bytes", type = "gauge", path = "queue_bytes",
    help = "Bytes of the events in memory." },
  { name = "requests_total", type = "counter", path = "requests.by_outcome", label = "outcome",
    help = "Requests that ended, by code." },
  { name = "requests_in_flight", type = "gauge", path = "requests.in_flight",
    help = "Requests under way." },
  { name = "retries_total", type = "counter", path = "retries",
    help = "Requests with events that had been sent before." },
  { name = "sent_bytes_total", type = "counter", path = "bytes_sent",
    help = "Bytes of events in requests that left." },
  { name = "replaced_bytes_total", type = "counter", path = "replaced",
    help = "Bytes of texts that were not UTF-8 and were replaced." },
  { name = "state", type = "gauge", path = "state", label = "state",
    values = { "running", "backing_off", "paused", "closing" },
    help = "1 for the state that the sender is in." },
  { name = "clock_offset_seconds", type = "gauge", path = "clock_offset",
    help = "How far the service's clock is ahead of this one." },
  { name = "delivery_reports_total", type = "counter", path = "reports.made",
    help = "Delivery reports made." },
  { name = "delivery_reports_waiting", type = "gauge", path = "reports.waiting",
    help = "Delivery reports that wait for poll()." },
  { name = "on_delivery_errors_total", type = "counter", path = "on_delivery_errors",
    help = "Errors that on_delivery raised." },
  { name = "dead_letters", type = "gauge", path = "dead_letters.kept",
    help = "Dead letters kept for dead()." },
  { name = "dead_letters_evicted_total", type = "counter", path = "dead_letters.evicted",
    help = "Dead letters let go to make room." },
  { name = "clients", type = "gauge", path = "clients",
    help = "Clients that share the sender." },
  { name = "spool_state", type = "gauge", path = "spool.state", label = "state",
    values = { "ok", "full", "failed" },
    help = "1 for the state that the spool is in." },
  { name = "spool_files", type = "gauge", path = "spool.files", shared = true,
    help = "Files in the spool's directory, of all processes." },
  { name = "spool_bytes", type = "gauge", path = "spool.bytes", shared = true,
    help = "Bytes of the spool's directory, of all processes." },
  { name = "spool_corrupt_files", type = "gauge", path = "spool.corrupt_files", shared = true,
    help = "Damaged files that were set aside in the spool's directory." },
  { name = "spool_on_disk_only_events", type = "gauge", path = "spool.on_disk_only",
    help = "Events of this process that are on disk and not in memory." },
  { name = "spool_adopted_events_total", type = "counter", path = "spool.adopted",
    help = "Events taken over from processes that are gone." },
  { name = "spool_commits_total", type = "counter", path = "spool.commits",
    help = "Transactions of the spool." },
  { name = "spool_last_commit_seconds", type = "gauge", path = "spool.last_commit",
    help = "Duration of the last transaction." },
  { name = "queue_latency_seconds", type = "summary", path = "queue_latency",
    help = "From accepting an event to the start of its first request." },
  { name = "round_trip_seconds", type = "summary", path = "round_trip",
    help = "Duration of requests that were answered." },
  { name = "request_events", type = "summary", path = "batch_size",
    help = "Events of a request." },
}

-- A summary's quantiles and the stats' names for them.
local QUANTILES = { { "0", "min" }, { "0.5", "p50" }, { "0.99", "p99" }, { "1", "max" } }

local function number_text(value)
  if value ~= value then return "NaN" end
  if value == math.huge then return "+Inf" end
  if value == -math.huge then return "-Inf" end
  if value == math.floor(value) then return (string.format("%.0f", value)) end
  -- A locale may have made it a comma.
  return (string.format("%.14g", value):gsub(",", "."))
end

local ESCAPES = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" }

local function label_text(name, value)
  return name .. '="' .. tostring(value):gsub('[\\"\n]', ESCAPES) .. '"'
end

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

-- `name="value",…` of the labels that every sample gets, or "".
local function common_text(labels)
  local list = {}
  for _, name in ipairs(sorted_keys(labels or {})) do
    if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") or name:find("^__") then
      error("prometheus: " .. tostring(name) .. ": not a label name", 0)
    end
    list[#list + 1] = label_text(name, labels[name])
  end
  return table.concat(list, ",")
end

--- What stands at a path as "requests.by_outcome"; nil when there is nothing.
---@param stats table
---@param path string
---@return any
function M.lookup(stats, path)
  for name in path:gmatch("[^.]+") do
    if type(stats) ~= "table" then return nil end
    stats = stats[name]
  end
  return stats
end

local function write_sample(out, name, common, label, value)
  local labels = common
  if label then labels = common == "" and label or common .. "," .. label end
  out[#out + 1] = name .. (labels == "" and "" or "{" .. labels .. "}") .. " "
    .. number_text(value)
end

-- One sample for each of the table's members; a total would be counted twice.
local function write_table(out, name, common, label, values)
  for _, key in ipairs(sorted_keys(values)) do
    if key ~= "total" then
      write_sample(out, name, common, label_text(label, key), values[key])
    end
  end
end

local function write_choice(out, name, common, metric, chosen)
  for _, value in ipairs(metric.values) do
    write_sample(out, name, common, label_text(metric.label, value), value == chosen and 1 or 0)
  end
end

-- Quantiles of several processes cannot be added up: sums of them have none.
local function write_summary(out, name, common, values)
  for _, quantile in ipairs(values.min and QUANTILES or {}) do
    local value = values.count > 0 and values[quantile[2]] or 0 / 0
    write_sample(out, name, common, label_text("quantile", quantile[1]), value)
  end
  write_sample(out, name .. "_sum", common, nil, values.sum)
  write_sample(out, name .. "_count", common, nil, values.count)
end

local function write_values(out, metric, common, value)
  local name = M.PREFIX .. metric.name
  if type(value) == "table" and metric.type == "summary" then
    write_summary(out, name, common, value)
  elseif type(value) == "table" then
    write_table(out, name, common, metric.label, value)
  elseif metric.values then
    write_choice(out, name, common, metric, value)
  else
    write_sample(out, name, common, nil, value)
  end
end

--- The figures of several clients as text: each metric is introduced once.
---@param list { stats: table, labels: table<string, string>|nil }[]
---@param metrics quickaudience.prometheus.metric[]
---@param find fun(stats: table, path: string): any what stands there; nil: nothing is written
---@return string
function M.render_all(list, metrics, find)
  local out, common = {}, {}
  for i, item in ipairs(list) do common[i] = common_text(item.labels) end
  for _, metric in ipairs(metrics) do
    local introduced = false
    for i, item in ipairs(list) do
      local value = find(item.stats, metric.path)
      if value ~= nil and not introduced then
        introduced = true
        local name = M.PREFIX .. metric.name
        out[#out + 1] = "# HELP " .. name .. " " .. metric.help
        out[#out + 1] = "# TYPE " .. name .. " " .. metric.type
      end
      if value ~= nil then write_values(out, metric, common[i], value) end
    end
  end
  return #out > 0 and table.concat(out, "\n") .. "\n" or ""
end

--- The figures as text; each line ends with a newline.
---@param stats table what client:stats() returned
---@param labels table<string, string>|nil for every sample
---@return string
function M.render(stats, labels)
  return M.render_all({ { stats = stats, labels = labels } }, M.metrics, M.lookup)
end

return M
