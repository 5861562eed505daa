--- store.lua
-- Counts what arrived and keeps the newest events and calls, within a bound.
-- Does not know HTTP or what makes an event valid.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local model = require "quickaudience.sandbox.model"

local M = {}

local Store = {}
local store_mt = { __name = "quickaudience.sandbox.store", __index = Store }

M.defaults = {
  keep = 10000,                 -- events of each kind, valid and invalid
  keep_bytes = 64 * 1024 * 1024, -- of each kind, as they came
  distinct = 2000000,           -- identities remembered, about 24 to 50 bytes each
  calls = 1000,                 -- calls of the log
  minutes = 60,                 -- of the counts per minute
}

-- A queue of texts that drops its oldest events to stay within its bounds. Whole batches are
-- stored as they came, so an accepted event costs nothing here until somebody looks at it.
local function ring(keep, keep_bytes)
  return { first = 1, last = 0, events = 0, bytes = 0, evicted = 0,
    keep = keep, keep_bytes = keep_bytes }
end

local function drop_oldest(r)
  local oldest = r[r.first]
  r[r.first] = nil
  r.first = r.first + 1
  r.events = r.events - (oldest.count - oldest.skip)
  r.bytes = r.bytes - oldest.bytes
  r.evicted = r.evicted + (oldest.count - oldest.skip)
end

local function push(r, entry)
  entry.bytes = #entry.text
  entry.skip = 0
  r.last = r.last + 1
  r[r.last] = entry
  r.events = r.events + entry.count
  r.bytes = r.bytes + entry.bytes
  while r.bytes > r.keep_bytes and r.first <= r.last do drop_oldest(r) end
  while r.events > r.keep do
    local oldest = r[r.first]
    local over = r.events - r.keep
    if over >= oldest.count - oldest.skip then
      drop_oldest(r)
    else
      oldest.skip = oldest.skip + over
      r.events, r.evicted = r.events - over, r.evicted + over
    end
  end
end

--- A store.
---@param options table keep, keep_bytes, distinct, md5
function M.new(options)
  local self = {}
  for name, value in pairs(M.defaults) do self[name] = value end
  for name, value in pairs(options) do self[name] = value end
  self.resets = -1
  setmetatable(self, store_mt)
  self:reset()
  return self
end

--- Forgets everything.
function Store:reset()
  self.valid = ring(self.keep, self.keep_bytes)
  self.invalid = ring(self.keep, self.keep_bytes)
  self.log = { first = 1, last = 0 }
  self.sequence = 0
  self.resets = self.resets + 1
  self.by_minute = {}
  self.refused = 0
  self.seen, self.remembered = {}, 0
  self.counts = {
    requests = 0, accepted = 0, refused = 0, faulted = 0,
    statuses = {}, codes = {},
    valid = 0, invalid = 0, collateral = 0, faulted_events = 0,
    distinct = 0, repeated = 0, duplicates = 0, untracked = 0,
  }
end

-- Whether an event came before is asked of the first 52 bits of its identity's MD5: they fit
-- a Lua number exactly in every Lua, and among a million events the odds of one false
-- duplicate are 1 in 9 000.
local function remember(self, event)
  local a, b, c, d, e, f, g = self.md5(model.identity(event)):byte(1, 7)
  local key = ((((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f) * 16) + g % 16
  local counts = self.counts
  local times = self.seen[key]
  if times then
    counts.duplicates = counts.duplicates + 1
    if times == 1 then
      counts.repeated = counts.repeated + 1
      self.seen[key] = 2
    end
  elseif self.remembered < self.distinct then
    self.seen[key] = 1
    self.remembered = self.remembered + 1
    counts.distinct = counts.distinct + 1
  else
    counts.untracked = counts.untracked + 1
  end
end

---@class quickaudience.sandbox.batch
---@field text string the JSON array as it came
---@field events table[] the same, decoded
---@field trace_id string
---@field received_at number ms since the epoch
---@field app_id string|nil
---@field access_id string|nil

local function entry_of(batch, text, count)
  return {
    text = text, count = count, trace_id = batch.trace_id, received_at = batch.received_at,
    app_id = batch.app_id, access_id = batch.access_id,
  }
end

--- Takes a batch whose events are all valid.
---@param batch quickaudience.sandbox.batch
function Store:accept(batch)
  local count = #batch.events
  self.counts.valid = self.counts.valid + count
  for i = 1, count do remember(self, batch.events[i]) end
  if count == 0 then return end
  local entry = entry_of(batch, batch.text, count)
  entry.sequence = self.sequence + 1
  self.sequence = self.sequence + count
  push(self.valid, entry)
end

--- Takes a batch that was refused for some of its events: nothing of it counts as valid.
---@param batch quickaudience.sandbox.batch
---@param errors table[] { index, path, code, message }
function Store:refuse(batch, errors)
  local by_index, guilty = {}, {}
  for _, failure in ipairs(errors) do
    local list = by_index[failure.index]
    if not list then
      list = {}
      by_index[failure.index] = list
      guilty[#guilty + 1] = failure.index
    end
    list[#list + 1] = failure
  end
  local texts = model.split(batch.text)
  for _, index in ipairs(guilty) do
    self.sequence = self.sequence + 1
    local entry = entry_of(batch, texts[index + 1], 1)
    entry.sequence, entry.errors = self.sequence, by_index[index]
    push(self.invalid, entry)
  end
  local counts = self.counts
  counts.invalid = counts.invalid + #guilty
  counts.collateral = counts.collateral + #batch.events - #guilty
end

local function count_in(map, key)
  map[key] = (map[key] or 0) + 1
end

---@class quickaudience.sandbox.call
---@field outcome string "accepted", "refused" or "faulted"
---@field status integer|string the HTTP status, or "closed"
---@field code string|nil the error code that was answered
---@field stored boolean whether the events were stored
---@field events integer how many events it held, if that could be told

-- Counts the events of a call in the minute in which it came, and lets old minutes go.
local function count_minute(self, call)
  local list = self.by_minute
  local at = math.floor(call.received_at / 60000)
  local newest = list[#list]
  if not newest or newest.at ~= at then
    newest = { at = at, valid = 0, refused = 0 }
    list[#list + 1] = newest
    if #list > self.minutes then table.remove(list, 1) end
  end
  local kind = call.stored and "valid" or "refused"
  newest[kind] = newest[kind] + call.events
  if not call.stored then self.refused = self.refused + call.events end
end

--- Takes note of a call to the service's path.
---@param call quickaudience.sandbox.call
function Store:note(call)
  local counts, log = self.counts, self.log
  counts.requests = counts.requests + 1
  counts[call.outcome] = counts[call.outcome] + 1
  count_in(counts.statuses, tostring(call.status))
  if call.code then count_in(counts.codes, call.code) end
  count_minute(self, call)
  if call.outcome == "faulted" and not call.stored then
    counts.faulted_events = counts.faulted_events + call.events
  end
  log.last = log.last + 1
  call.sequence = log.last
  log[log.last] = call
  if log.last - log.first >= self.calls then
    log[log.first] = nil
    log.first = log.first + 1
  end
end

--- The newest calls, the oldest of them first.
---@param limit integer
---@return table[]
function Store:newest_calls(limit)
  local log, list = self.log, {}
  for i = math.max(log.first, log.last - limit + 1), log.last do list[#list + 1] = log[i] end
  return list
end

--- The call with this trace id, if the log still has it.
---@param trace_id string
---@return table|nil
function Store:find_call(trace_id)
  local log = self.log
  for i = log.last, log.first, -1 do
    if log[i].trace_id == trace_id then return log[i] end
  end
end

local encode = cjson.encode

-- One kept event as JSON text. The event itself stands in it byte for byte as it came.
local function render(entry, sequence, text, valid)
  local errors = ""
  if entry.errors then errors = ',"errors":' .. encode(entry.errors) end
  return string.format('{"sequence":%d,"valid":%s,"received_at":%.0f,"trace_id":%s,"app_id":%s,'
    .. '"access_id":%s%s,"event":%s}', sequence, tostring(valid), entry.received_at,
    encode(entry.trace_id), encode(entry.app_id or cjson.null),
    encode(entry.access_id or cjson.null), errors, text)
end

local function found_in(value, wanted, part)
  if not wanted or value == wanted then return true end
  return part and type(value) == "string"
    and value:lower():find(wanted:lower(), 1, true) ~= nil
end

local function matches(text, filter)
  if not (filter.customer_id or filter.event_code) then return true end
  local event = cjson.decode(text)
  if type(event) ~= "table" then return false end
  return found_in(event.customerId, filter.customer_id, filter.part)
    and found_in(event.eventCode, filter.event_code, filter.part)
end

-- The newest kept events of one ring that pass the filter, newest first.
local function collect(r, valid, filter, draw)
  local list = {}
  for i = r.last, r.first, -1 do
    local entry = r[i]
    if entry.sequence + entry.count - 1 <= filter.since then break end
    local texts = valid and model.split(entry.text) or { entry.text }
    for j = entry.count, entry.skip + 1, -1 do
      local sequence = entry.sequence + j - 1
      if sequence > filter.since and matches(texts[j], filter) then
        list[#list + 1] = { sequence = sequence, text = draw(entry, sequence, texts[j], valid) }
        if #list >= filter.limit then return list end
      end
    end
  end
  return list
end

--- The newest kept events, the oldest of them first, as JSON texts.
---@param filter table valid (boolean or nil for both), limit, since, customer_id, event_code
---@param draw nil|fun(entry: table, sequence: integer, text: string, valid: boolean): any
---  makes of an event what the list shall hold
---@return any[]
function Store:newest_events(filter, draw)
  local found = {}
  draw = draw or render
  if filter.valid ~= false then found = collect(self.valid, true, filter, draw) end
  if filter.valid ~= true then
    for _, item in ipairs(collect(self.invalid, false, filter, draw)) do
      found[#found + 1] = item
    end
  end
  table.sort(found, function(a, b) return a.sequence < b.sequence end)
  local texts = {}
  for i = math.max(1, #found - filter.limit + 1), #found do
    texts[#texts + 1] = found[i].text
  end
  return texts
end

--- The kept event with this number: as it came, and what is known of it.
---@param sequence integer
---@return string|nil text
---@return table|nil entry
function Store:find_event(sequence)
  for _, r in ipairs { self.valid, self.invalid } do
    for i = r.last, r.first, -1 do
      local entry = r[i]
      local place = sequence - entry.sequence + 1
      if place > entry.count then break end
      if place > entry.skip then
        return r == self.valid and model.split(entry.text)[place] or entry.text, entry
      end
    end
  end
end

local function copy(map)
  local all = {}
  for name, value in pairs(map) do all[name] = value end
  return all
end

local function kept(r)
  return { events = r.events, bytes = r.bytes, evicted = r.evicted,
    keep = r.keep, keep_bytes = r.keep_bytes }
end

--- Every count, as a table for JSON.
---@return table
function Store:summary()
  local c = self.counts
  return {
    requests = c.requests,
    calls = { accepted = c.accepted, refused = c.refused, faulted = c.faulted },
    statuses = copy(c.statuses),
    codes = copy(c.codes),
    events = {
      valid = c.valid, invalid = c.invalid, collateral = c.collateral,
      faulted = c.faulted_events, distinct = c.distinct, repeated = c.repeated,
      untracked = c.untracked,
    },
    duplicates = c.duplicates,
    kept = { valid = kept(self.valid), invalid = kept(self.invalid) },
  }
end

return M
