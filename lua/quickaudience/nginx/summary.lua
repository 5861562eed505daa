--- summary.lua
-- Tells the error log what went wrong since the last time: one line, however much it was.
-- Does not know when it is called; the timer of nginx.lua does that once a second at most.
-- SPDX-License-Identifier: MIT
local M = {}

-- Seconds. A state that lasts is said again, so that it is found in a rotated log.
local REMIND = 60
-- What a hook leaves out as it was told to, and visitors whom nobody knows.
local WISHED = { filtered = true, sampled = true, no_customer = true }

-- What `now` is more than what was seen under `key`.
local function growth(site, key, now)
  local before = site.seen[key] or 0
  site.seen[key] = now
  return now > before and now - before or 0
end

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

local function add(parts, count, what, why)
  if count == 0 then return end
  parts[#parts + 1] = string.format("%d %s%s", count, what, why and " (" .. why .. ")" or "")
end

local function losses(site, stats)
  local parts = {}
  for _, code in ipairs(sorted_keys(site.refused)) do
    add(parts, growth(site, "refused." .. code, site.refused[code]), "refused with " .. code,
      site.last_refusal)
  end
  for _, reason in ipairs(sorted_keys(site.skipped)) do
    local count = growth(site, "skipped." .. reason, site.skipped[reason])
    if not WISHED[reason] then
      add(parts, count, "skipped by a hook, " .. reason, reason == "error" and site.last_error)
    end
  end
  add(parts, growth(site, "dead", stats.dead), "refused by the service", site.seen.dead_message)
  for _, reason in ipairs(sorted_keys(stats.dropped)) do
    if reason ~= "total" then
      add(parts, growth(site, "dropped." .. reason, stats.dropped[reason]), "dropped, " .. reason,
        site.seen.dropped_message)
    end
  end
  local errors = growth(site, "on_delivery_errors", stats.on_delivery_errors or 0)
  add(parts, errors, "errors of on_delivery", stats.on_delivery_error)
  return parts
end

local STATES = {
  paused = { "ERR", "delivery is paused, events are kept" },
  backing_off = { "WARN", "delivery fails and is retried" },
  running = { "NOTICE", "delivery works again" },
}

-- What to say about the state: when it changes, and now and then while it lasts.
local function state_text(site, stats)
  local seen, now = site.seen, ngx.now()
  local state = STATES[stats.state] and stats.state or "running"
  local changed = state ~= (seen.state or "running")
  local lasts = state ~= "running" and now >= (seen.state_said or 0) + REMIND
  if not changed and not lasts then return nil end
  seen.state, seen.state_said = state, now
  local text = STATES[state][2]
  if state == "running" or not stats.reason_message then return text, STATES[state][1] end
  return text .. ": " .. stats.reason_message, STATES[state][1]
end

--- Writes at most one line.
---@param site quickaudience.nginx.site
---@param stats table what client:stats() returned
function M.log(site, stats)
  local parts, level = losses(site, stats), "WARN"
  local text, state_level = state_text(site, stats)
  if text then
    parts[#parts + 1] = text
    if #parts == 1 or state_level == "ERR" then level = state_level end
  end
  if #parts > 0 then
    ngx.log(ngx[level], "quickaudience: ", site.name, ": ", table.concat(parts, "; "))
  end
end

return M
