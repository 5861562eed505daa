--- service.lua
-- Quick Audience as a function: one request in, one answer out, what arrived in the store.
-- Does not know nginx, and shares no code with the client it is to check.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local faults = require "quickaudience.sandbox.faults"
local model = require "quickaudience.sandbox.model"
local multipart = require "quickaudience.sandbox.multipart"
local nearest = require "quickaudience.sandbox.nearest"
local page = require "quickaudience.sandbox.page"
local signature = require "quickaudience.sandbox.signature"
local store = require "quickaudience.sandbox.store"

local M = {}

-- A decoder of its own: NaN, Infinity and hexadecimal numbers are no JSON.
local strict = cjson.new()
strict.decode_invalid_numbers(false)

local Service = {}
local service_mt = { __name = "quickaudience.sandbox.service", __index = Service }

--- The service's path (documented).
M.PATH = "/openapi/cloud/event/detail/receive"

M.defaults = {
  skew = 900,               -- seconds; the service's own value is unknown
  sign_encoding = "form",   -- inferred: the vendor's sample code is Java
  path = M.PATH,
  lenient = false,          -- let organizationId differ from accessId
  seed = 1,
}

M.limits = { errors_per_call = 20, log_limit = 1000, wait = 3600 }

--- A service.
---@param options table credentials, md5 (text to 16 bytes), now (seconds); the rest has defaults
function M.new(options)
  local self = {}
  for name, value in pairs(M.defaults) do self[name] = value end
  for name, value in pairs(options) do self[name] = value end
  self.faults = faults.new(self.seed)
  self.store = store.new { md5 = self.md5, keep = self.keep, keep_bytes = self.keep_bytes,
    distinct = self.distinct }
  self.traces, self.started_at = 0, self.now()
  if self.organizations then
    self.known_organizations = {}
    for _, id in ipairs(self.organizations) do self.known_organizations[id] = true end
  end
  return setmetatable(self, service_mt)
end

-- The shape of the documented trace ids: a UUID.
local function trace_id(self)
  self.traces = self.traces + 1
  local bytes = self.md5(string.format("%.6f/%d", self.started_at, self.traces))
  local hex = bytes:gsub(".", function(char) return string.format("%02x", char:byte()) end)
  return table.concat({ hex:sub(1, 8), hex:sub(9, 12), hex:sub(13, 16), hex:sub(17, 20),
    hex:sub(21) }, "-")
end

-- The service's response object (documented), its members in the order of the documents.
local function service_body(trace, code, description)
  local success = code == nil
  return string.format('{"data":%s,"errorCode":%s,"errorDesc":%s,"success":%s,"traceId":"%s"}',
    tostring(success), cjson.encode(code or cjson.null), cjson.encode(description or cjson.null),
    tostring(success), trace)
end

local function describe(errors)
  local first = errors[1]
  local text = first.path .. ": " .. first.message
  if #errors > 1 then text = string.format("%s (and %d more)", text, #errors - 1) end
  return text
end

local function whole_problem(status, code, path, message)
  return nil, { status = status, code = code, path = path, message = message }
end

-- Reads the form. Comes before the signature's check, because a wrong signature may be explained
-- by fields that were signed too.
local function read_form(request)
  local encoding = request.headers["content-encoding"]
  if encoding and encoding:lower() ~= "identity" then
    return whole_problem(400, "CONTENT_ENCODING", "header.Content-Encoding",
      "the service documents none")
  end
  local boundary, failure = multipart.boundary(request.headers["content-type"])
  if not boundary then return nil, failure end
  return multipart.parse(request.body, boundary)
end

local function check_fields(self, fields)
  for _, name in ipairs { "accessId", "eventMessageModelListJson" } do
    if not fields[name] then
      local known = {}
      for other in pairs(fields) do known[#known + 1] = other end
      local near = nearest.find(name, known)
      return whole_problem(400, "MISSING_FIELD", "body." .. name,
        near and string.format("is missing (there is '%s')", near:sub(1, 60)) or "is missing")
    elseif fields[name] == "" then
      return whole_problem(400, "EMPTY_FIELD", "body." .. name, "must not be empty")
    end
    local offset = model.utf8_fault(fields[name])
    if offset then
      return whole_problem(400, "INVALID_UTF8", "body." .. name,
        string.format("is not UTF-8 at byte %d", offset))
    end
  end
  if self.known_organizations and not self.known_organizations[fields.accessId] then
    return whole_problem(403, "UNKNOWN_ORGANIZATION", "body.accessId",
      "no such organization")
  end
  return true
end

local function decode_events(text)
  local path = "body.eventMessageModelListJson"
  local ok, events = pcall(strict.decode, text)
  local offset = ok and model.control_fault(text)
  if offset then
    ok, events = false, string.format("a raw control character inside a string at byte %d", offset)
  end
  if not ok then
    local reason = tostring(events):gsub("^.-:%d+: ", "")
    return whole_problem(400, "INVALID_JSON", path, "is not JSON: " .. reason)
  elseif not text:match("^%s*%[") then
    return whole_problem(400, "NOT_AN_ARRAY", path, "must be an array of events")
  end
  return events
end

-- Everything about a call that does not depend on its events. Fills in `call` as far as it gets.
local function check_call(self, request, call)
  local fields, form_failure = read_form(request)
  local credential, failure = signature.check({
    query = request.query, authorization = request.headers.authorization, form = fields,
  }, {
    credentials = self.credentials, encoding = self.sign_encoding, skew = self.skew,
    now = self.now() + self.faults.clock_skew, md5 = self.md5,
  })
  -- The events are read even if the signature is wrong: a fault may ask for what is in them.
  if fields and fields.eventMessageModelListJson then
    local events = decode_events(fields.eventMessageModelListJson)
    if events then call.events = events end
  end
  if not credential then return nil, failure end
  if not fields then return nil, form_failure end
  local ok
  ok, failure = check_fields(self, fields)
  if not ok then return nil, failure end
  call.events, failure = decode_events(fields.eventMessageModelListJson)
  if not call.events then
    call.events = {}
    return nil, failure
  end
  call.app_id, call.access_id = credential.app_id, fields.accessId
  call.text = fields.eventMessageModelListJson
  return true
end

local function check_events(self, call)
  local errors, events = {}, call.events
  local organization = not self.lenient and call.access_id or nil
  local rejected = self.faults.rejected
  for i = 1, #events do
    local event = events[i]
    model.check(event, i - 1, errors, organization)
    if type(event) == "table" and rejected[event.customerId] then
      errors[#errors + 1] = { index = i - 1, path = string.format("[%d].customerId", i - 1),
        code = "CUSTOMER_REJECTED", message = "the rule reject_customer_ids names it" }
    end
  end
  return errors
end

-- What the service would say without any fault: status, code, description and the errors.
local function judge(self, request, call)
  local ok, failure = check_call(self, request, call)
  if not ok then
    return { status = failure.status, code = failure.code, description = describe { failure },
      errors = { { index = cjson.null, path = failure.path, code = failure.code,
        message = failure.message } } }
  end
  local errors = check_events(self, call)
  if #errors > 0 then
    local code = "INVALID_EVENT"
    if errors[1].code == "CUSTOMER_REJECTED" then code = "CUSTOMER_REJECTED" end
    return { status = 200, code = code, description = describe(errors), errors = errors,
      events_refused = true }
  end
  return { status = 200, errors = {} }
end

local function keep(self, call, verdict)
  if verdict.events_refused then
    self.store:refuse(call, verdict.errors)
  elseif not verdict.code then
    self.store:accept(call)
  end
end

local GARBAGE = "\0\255\254<html><p>502 Bad Gateway {\"success\": tru"
local OVERSIZED = 1024 * 1024 + 65536

local function spoil_body(answer, fault, trace)
  local body = fault.body
  if fault.text then
    answer.body = fault.text
  elseif body == "empty" then
    answer.body = ""
  elseif body == "garbage" then
    answer.body = GARBAGE
  elseif body == "cut_off" then
    answer.cut = math.floor(#answer.body / 2)
  elseif body == "oversized" then
    -- Sound JSON that says success: only a limit on the size can tell that something is wrong.
    local plain = service_body(trace)
    local missing = (fault.size or OVERSIZED) - #plain
    answer.body = "{" .. string.rep(" ", math.max(0, missing)) .. plain:sub(2)
  end
end

local function retry_after_text(value)
  if type(value) == "number" then return string.format("%.14g", value) end
  return value
end

-- Puts a fault onto the answer that would have been given.
local function spoil(self, answer, fault, call, stored)
  if faults.fails(fault) then
    answer.status = fault.status or 200
    answer.code = fault.error_code or "SANDBOX_FAULT"
    answer.body = service_body(call.trace_id, answer.code,
      fault.error_desc or "a fault of the sandbox's script")
  elseif fault.status then
    answer.status = fault.status
  end
  spoil_body(answer, fault, call.trace_id)
  if fault.retry_after then answer.headers["Retry-After"] = retry_after_text(fault.retry_after) end
  for name, value in pairs(fault.headers or {}) do answer.headers[name] = value end
  answer.date_skew = (fault.date_skew or 0) + self.faults.clock_skew
  answer.delay = fault.delay
  answer.close = fault.close ~= nil
  answer.stored = stored
end

local function first_errors(errors)
  local list = {}
  for i = 1, math.min(#errors, M.limits.errors_per_call) do list[i] = errors[i] end
  return list
end

-- What is kept of a request for whoever looks at it. The signature is not: whoever has it can
-- repeat the call.
local function request_of(request)
  local query, headers = {}, {}
  for name, value in pairs(request.query) do query[tostring(name)] = value end
  for _, name in ipairs { "content-type", "content-length", "user-agent", "host" } do
    headers[name] = request.headers[name]
  end
  return { method = request.method, path = request.path, query = query, headers = headers }
end

local function receive(self, request)
  local now = self.now()
  local call = { trace_id = trace_id(self), received_at = math.floor(now * 1000),
    bytes = #request.body, events = {} }
  local verdict = judge(self, request, call)
  local fault = self.faults:pick(call)
  local stored = not fault or faults.stores(fault)
  if stored then keep(self, call, verdict) end
  local answer = {
    status = verdict.status, headers = {}, code = verdict.code,
    body = service_body(call.trace_id, verdict.code, verdict.description),
    date_skew = self.faults.clock_skew,
  }
  local faulted = fault and not fault.pass
  if faulted then spoil(self, answer, fault, call, stored) end
  self.store:note {
    outcome = faulted and "faulted" or verdict.code and "refused" or "accepted",
    status = answer.close and "closed" or answer.status, code = answer.code,
    stored = stored and not verdict.code, events = #call.events, bytes = call.bytes,
    received_at = call.received_at, trace_id = call.trace_id, errors = first_errors(verdict.errors),
    fault = faulted and fault or nil, request = request_of(request),
  }
  return answer
end

-- From here on the sandbox's own paths.

local function json(status, body)
  return { status = status, body = body, headers = {} }
end

local function complaint(status, errors)
  local list = {}
  for i, failure in ipairs(errors) do list[i] = cjson.encode(failure) end
  return json(status, '{"errors":[' .. table.concat(list, ",") .. "]}")
end

local function whole_number(query, name, default, most)
  local value = query[name]
  if value == nil then return default end
  local number = type(value) == "string" and value:match("^%d+$") and tonumber(value)
  if not number or number > most then
    return nil, string.format("must be a whole number from 0 to %.0f", most)
  end
  return number
end

local function text(query, name)
  local value = query[name]
  if value == nil or type(value) == "string" then return value end
  return nil, "must stand there once, with a value"
end

-- Reads the query by a map of name to reader; an unknown name is an error.
local function read_query(query, readers)
  local values, errors, known = {}, {}, {}
  for name in pairs(readers) do known[#known + 1] = name end
  table.sort(known)
  for name in pairs(query) do
    if not readers[name] then
      errors[#errors + 1] = { path = "query." .. tostring(name):sub(1, 64),
        code = "UNKNOWN_PARAMETER", message = nearest.message("parameter", tostring(name), known) }
    end
  end
  for _, name in ipairs(known) do
    local value, message = readers[name](query, name)
    if message then
      errors[#errors + 1] = { path = "query." .. name, code = "INVALID_VALUE", message = message }
    end
    values[name] = value
  end
  if #errors > 0 then return nil, errors end
  return values
end

local function number_reader(default, most)
  return function(query, name) return whole_number(query, name, default, most) end
end

local function valid_reader(query)
  local value = query.valid
  if value == nil then return nil end
  if value == "true" then return true elseif value == "false" then return false end
  return nil, "must be true or false"
end

local function all_text(self)
  local summary = self.store:summary()
  summary.faults = { applied = self.faults.applied, waiting = #self.faults.script }
  summary.uptime = math.floor((self.now() - self.started_at) * 1000) / 1000
  return cjson.encode(summary)
end

local function get_all(self)
  return json(200, all_text(self))
end

local function get_events(self, request)
  local filter, errors = read_query(request.query, {
    valid = valid_reader, limit = number_reader(100, 1e9), since = number_reader(0, 1e15),
    customer_id = text, event_code = text,
  })
  if not filter then return complaint(400, errors) end
  local list = filter.limit > 0 and self.store:newest_events(filter) or {}
  return json(200, '{"events":[' .. table.concat(list, ",\n") .. "]}")
end

local function call_text(call)
  local copy, list = {}, {}
  for name, value in pairs(call) do copy[name] = value end
  for i, failure in ipairs(call.errors) do list[i] = cjson.encode(failure) end
  copy.errors = nil
  return cjson.encode(copy):sub(1, -2) .. ',"errors":[' .. table.concat(list, ",") .. "]}"
end

local function get_calls(self, request)
  local filter, errors = read_query(request.query, {
    limit = number_reader(100, M.limits.log_limit) })
  if not filter then return complaint(400, errors) end
  local list = self.store:newest_calls(filter.limit)
  for i, call in ipairs(list) do list[i] = call_text(call) end
  return json(200, '{"calls":[' .. table.concat(list, ",\n") .. "]}")
end

local WAIT_FOR = { "events", "distinct", "invalid", "requests" }

local function get_wait(self, request)
  local readers = { timeout = number_reader(10, M.limits.wait) }
  for _, name in ipairs(WAIT_FOR) do readers[name] = number_reader(nil, 1e15) end
  local wanted, errors = read_query(request.query, readers)
  if not wanted then return complaint(400, errors) end
  local some = false
  for _, name in ipairs(WAIT_FOR) do some = some or wanted[name] ~= nil end
  if not some then
    return complaint(400, { { path = "query.events", code = "MISSING_PARAMETER",
      message = "say how many to wait for: " .. table.concat(WAIT_FOR, ", ") } })
  end
  local function arrived()
    local c = self.store.counts
    local have = { events = c.valid, distinct = c.distinct, invalid = c.invalid,
      requests = c.requests }
    for _, name in ipairs(WAIT_FOR) do
      if wanted[name] and have[name] < wanted[name] then return false end
    end
    return true
  end
  return {
    wait = arrived, timeout = wanted.timeout,
    answer = function(came)
      local body = all_text(self)
      if came then return json(200, body) end
      return json(408, '{"timed_out":true,' .. body:sub(2))
    end,
  }
end

local function post_reset(self)
  self.store:reset()
  self.faults:clear()
  return json(200, '{"reset":true}')
end

local function get_faults(self)
  return json(200, self.faults:describe())
end

local function post_faults(self, request)
  local ok, script = pcall(strict.decode, request.body)
  if not ok then
    return complaint(400, { { path = "", code = "INVALID_JSON",
      message = "is not JSON: " .. tostring(script):gsub("^.-:%d+: ", "") } })
  end
  local count, errors = self.faults:add(script)
  if not count then return complaint(400, errors) end
  return json(200, self.faults:describe())
end

local function delete_faults(self)
  self.faults:clear()
  return json(200, self.faults:describe())
end

local PATHS = [[
quickaudience sandbox: a local Quick Audience

  POST   %s
         the service's own path
  GET    /
         this list, or in a browser a page that shows what arrives
  GET    /sandbox/all
         counts of everything that arrived
  GET    /sandbox/events?valid=true|false&limit=100&since=0&customer_id=&event_code=
         the newest events
  GET    /sandbox/calls?limit=100
         the newest calls, with what was wrong with them
  GET    /sandbox/wait?events=N&timeout=10
         answers when N valid events are in (also: distinct, invalid, requests); 408 if they are not
  POST   /sandbox/reset
         forgets events, counts and faults
  GET, POST, DELETE /sandbox/faults
         the script of answers for the next calls
]]

local function get_paths(self, request)
  if page.wanted(request) then return page.document() end
  return { status = 200, body = string.format(PATHS, self.path),
    headers = { ["Content-Type"] = "text/plain; charset=utf-8" } }
end

local function get_news(self, request)
  local filter, errors = read_query(request.query, {
    valid = valid_reader, limit = number_reader(100, page.limits.news),
    since = number_reader(0, 1e15), since_call = number_reader(0, 1e15), run = text,
    customer_id = text, event_code = text,
  })
  if not filter then return complaint(400, errors) end
  return json(200, page.news(self, filter))
end

local function get_event(self, request)
  local wanted, errors = read_query(request.query, { sequence = number_reader(nil, 1e15),
    call = number_reader(nil, 1e15) })
  if not wanted then return complaint(400, errors) end
  return json(200, page.detail(self, wanted))
end

local ROUTES = {
  ["/"] = { GET = get_paths },
  ["/sandbox/all"] = { GET = get_all },
  ["/sandbox/events"] = { GET = get_events },
  ["/sandbox/calls"] = { GET = get_calls },
  ["/sandbox/wait"] = { GET = get_wait },
  ["/sandbox/page/news"] = { GET = get_news },
  ["/sandbox/page/detail"] = { GET = get_event },
  ["/sandbox/reset"] = { POST = post_reset },
  ["/sandbox/faults"] = { GET = get_faults, POST = post_faults, DELETE = delete_faults },
}

--- An answer in the service's shape for what never became a call, such as a body too large.
---@param status integer
---@param code string
---@param message string
function Service:failure(status, code, message)
  return json(status, service_body(trace_id(self), code, message))
end

local function route(self, request)
  if request.path == self.path then
    return { POST = receive }
  end
  return ROUTES[request.path]
end

---@class quickaudience.sandbox.request
---@field method string
---@field path string
---@field query table decoded; `true` for a name without a value, a list for a repeated one
---@field headers table<string, string> names in lower case
---@field body string

---@class quickaudience.sandbox.answer
---@field status integer
---@field headers table<string, string>
---@field body string
---@field delay number|nil seconds to wait before answering
---@field date_skew number|nil seconds to add to the Date header
---@field close boolean|nil close the connection instead of answering
---@field cut integer|nil send only so many bytes of the body, then close
---@field wait fun(): boolean |nil when set, ask it until it is true or `timeout` seconds are over,
---  then call `answer(came)` for the answer proper

--- Handles one request.
---@param request quickaudience.sandbox.request
---@return quickaudience.sandbox.answer
function Service:handle(request)
  local methods = route(self, request)
  if not methods then
    local known = { self.path }
    for path in pairs(ROUTES) do known[#known + 1] = path end
    local near = nearest.find(request.path, known)
    return self:failure(404, "NOT_FOUND", "path: nothing is here"
      .. (near and string.format(" (did you mean '%s'?)", near) or ""))
  end
  local handler = methods[request.method]
  if not handler then
    local allowed = {}
    for method in pairs(methods) do allowed[#allowed + 1] = method end
    table.sort(allowed)
    local answer = self:failure(405, "METHOD_NOT_ALLOWED",
      "method: must be " .. table.concat(allowed, " or "))
    answer.headers.Allow = table.concat(allowed, ", ")
    return answer
  end
  return handler(self, request)
end

return M
