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
  local spool = stats.spool or { corrupt_files = 0 }
  add(parts, growth(site, "corrupt_files", spool.corrupt_files), "damaged spool files set aside",
    spool.corrupt_name)
  local errors = growth(site, "on_delivery_errors", stats.on_delivery_errors or 0)
  add(parts, errors, "errors of on_delivery", stats.on_delivery_error)
  return parts
end

local DELIVERY = {
  paused = { "ERR", "delivery is paused, events are kept" },
  backing_off = { "WARN", "delivery fails and is retried" },
  running = { "NOTICE", "delivery works again" },
}
local SPOOL = {
  full = { "ERR", "new events are refused, the spool has no room" },
  failed = { "ERR", "new events are refused, the spool fails" },
  ok = { "NOTICE", "the spool works again" },
}

-- What to say about a state: when it changes, and now and then while it is not as it should be.
local function state_text(site, words, well, state, message)
  local seen, now = site.seen, ngx.now()
  local key, said = well .. "_state", well .. "_said"
  state = words[state] and state or well
  local changed = state ~= (seen[key] or well)
  local lasts = state ~= well and now >= (seen[said] or 0) + REMIND
  if not changed and not lasts then return nil end
  seen[key], seen[said] = state, now
  local level, text = words[state][1], words[state][2]
  if state == well or not message then return text, level end
  return text .. ": " .. message, level
end

--- Writes at most one line.
---@param site quickaudience.nginx.site
---@param stats table what client:stats() returned
function M.log(site, stats)
  local parts, level = losses(site, stats), "WARN"
  local function add_state(text, its_level)
    if not text then return end
    parts[#parts + 1] = text
    if level ~= "ERR" and (#parts == 1 or its_level == "ERR") then level = its_level end
  end
  add_state(state_text(site, DELIVERY, "running", stats.state, stats.reason_message))
  if stats.spool then
    add_state(state_text(site, SPOOL, "ok", stats.spool.state, stats.spool.message))
  end
  if #parts > 0 then
    ngx.log(ngx[level], "quickaudience: ", site.name, ": ", table.concat(parts, "; "))
  end
end

return M
