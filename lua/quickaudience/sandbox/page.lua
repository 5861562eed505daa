--- page.lua
-- The sandbox's page: the document, what is new since it last asked, and one event in full.
-- Does not know HTTP's wire nor what makes an event valid.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local html = require "quickaudience.sandbox.page.html"
local script = require "quickaudience.sandbox.page.script"
local style = require "quickaudience.sandbox.page.style"

local M = {}

M.limits = {
  news = 1000,    -- events of one answer
  calls = 100,    -- calls of one answer
  shown = 200,    -- bytes of a customer id or an event code in a row
}

--- Whether a browser asks; programs and curl get the list of paths.
---@param request quickaudience.sandbox.request
---@return boolean
function M.wanted(request)
  local accept = request.headers.accept
  return type(accept) == "string" and accept:find("text/html", 1, true) ~= nil
end

-- Lets this document's own script and style run, and nothing else. What arrives is not trusted.
local function nonce()
  local file = assert(io.open("/dev/urandom", "rb"))
  local bytes = assert(file:read(16))
  file:close()
  return (bytes:gsub(".", function(char) return string.format("%02x", char:byte()) end))
end

local POLICY = "default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; "
  .. "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
  .. "frame-ancestors 'none'"

--- The page.
---@return quickaudience.sandbox.answer
function M.document()
  local once = nonce()
  local parts = { nonce = once, style = style, script = script }
  return { status = 200, body = (html:gsub("{{(%l+)}}", parts)), headers = {
    ["Content-Type"] = "text/html; charset=utf-8",
    ["Content-Security-Policy"] = POLICY:format(once, once),
    ["X-Content-Type-Options"] = "nosniff",
    ["Referrer-Policy"] = "no-referrer",
    ["Cache-Control"] = "no-store",
  } }
end

local function brief(value)
  if type(value) ~= "string" then return cjson.null end
  if #value <= M.limits.shown then return value end
  -- Not through the middle of a character.
  return (value:sub(1, M.limits.shown):gsub("[\192-\255][\128-\191]*$", "")) .. "…"
end

-- What a row of the list shows of an event.
local function row(entry, sequence, text, valid)
  local event = cjson.decode(text)
  if type(event) ~= "table" then event = {} end
  local first = entry.errors and entry.errors[1]
  return cjson.encode {
    n = sequence, ok = valid, at = entry.received_at, customer = brief(event.customerId),
    code = brief(event.eventCode), error = first and first.path .. ": " .. first.message or nil,
    more = entry.errors and #entry.errors - 1 or nil,
  }
end

-- The calls that did not go well for a reason of their own: a signature, a fault.
local function call_rows(self, since)
  local rows = {}
  for _, call in ipairs(self.store:newest_calls(M.limits.calls)) do
    local whole = call.errors[1] and call.errors[1].index == cjson.null and call.errors[1]
    if call.sequence > since and (whole or call.outcome == "faulted") then
      rows[#rows + 1] = cjson.encode {
        call = call.sequence, at = call.received_at, outcome = call.outcome, events = call.events,
        status = call.status, code = call.code or call.outcome,
        error = whole and whole.path .. ": " .. whole.message or nil,
      }
    end
  end
  return rows
end

-- Tells a page that everything was forgotten: other numbers mean other events.
local function run_of(self)
  return string.format("%.3f-%d", self.started_at, self.store.resets)
end

local function minutes_text(store)
  local list = {}
  for i, minute in ipairs(store.by_minute) do
    list[i] = string.format("[%.0f,%d,%d]", minute.at, minute.valid, minute.refused)
  end
  return "[" .. table.concat(list, ",") .. "]"
end

--- What is new, as JSON: never more than the limits, however much came.
---@param self table the service
---@param filter table since, since_call, limit, run, valid, customer_id, event_code
---@return string
function M.news(self, filter)
  local run, store = run_of(self), self.store
  local asked = { valid = filter.valid, limit = filter.limit, part = true,
    since = filter.run == run and filter.since or 0,
    customer_id = filter.customer_id, event_code = filter.event_code }
  local since_call = filter.run == run and filter.since_call or 0
  local rows = filter.limit > 0 and store:newest_events(asked, row) or {}
  local counts = store.counts
  return string.format('{"run":%s,"now":%.0f,"sequence":%d,"call":%d,"valid":%d,"refused":%d,'
    .. '"requests":%d,"duplicates":%d,"applied":%d,"waiting":%d,'
    .. '"rules":%s,"minutes":%s,"events":[%s],"calls":[%s]}',
    cjson.encode(run), self.now() * 1000, store.sequence, store.log.last, counts.valid,
    store.refused, counts.requests, counts.duplicates, self.faults.applied, #self.faults.script,
    tostring(next(self.faults.rejected) ~= nil or self.faults.clock_skew ~= 0),
    minutes_text(store), table.concat(rows, ","), table.concat(call_rows(self, since_call), ","))
end

local function call_of(self, wanted, entry)
  if entry then return self.store:find_call(entry.trace_id) end
  return wanted.call and self.store.log[wanted.call]
end

--- One event as it came, with its errors and its call; or one call. What is no longer kept is
--- absent.
---@param self table the service
---@param wanted table sequence or call
---@return string
function M.detail(self, wanted)
  local text, entry
  if wanted.sequence then text, entry = self.store:find_event(wanted.sequence) end
  return cjson.encode {
    text = text, errors = entry and entry.errors or nil, at = entry and entry.received_at or nil,
    trace_id = entry and entry.trace_id or nil, access_id = entry and entry.access_id or nil,
    app_id = entry and entry.app_id or nil, request = call_of(self, wanted, entry) or nil,
  }
end

return M
