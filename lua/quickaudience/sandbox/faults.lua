--- faults.lua
-- The script of faults: checks it when it is given, and picks the fault for each call.
-- Does not know how a fault is put on the wire.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local nearest = require "quickaudience.sandbox.nearest"

local M = {}

local Faults = {}
local faults_mt = { __name = "quickaudience.sandbox.faults", __index = Faults }

M.limits = {
  faults = 1000,           -- waiting at once
  delay = 600,             -- seconds
  text = 1024 * 1024,      -- bytes of a literal body
  size = 64 * 1024 * 1024, -- bytes of an oversized body
  customer_ids = 10000,    -- of the rule reject_customer_ids
}

local function number_in(low, high, whole)
  local shape = whole and "a whole number" or "a number"
  local message = string.format("must be %s from %.0f to %.0f", shape, low, high)
  return function(value)
    if type(value) ~= "number" or value < low or value > high
      or (whole and value ~= math.floor(value)) then
      return message
    end
  end
end

local function text_up_to(size)
  return function(value)
    if type(value) ~= "string" then return "must be a string" end
    if #value > size then return string.format("is longer than %d bytes", size) end
  end
end

local function boolean(value)
  if type(value) ~= "boolean" then return "must be true or false" end
end

local function one_of(...)
  local known = { ... }
  return function(value)
    if type(value) == "string" then
      for _, name in ipairs(known) do
        if name == value then return nil end
      end
      return nearest.message("value", value, known)
    end
    return "must be one of " .. table.concat(known, ", ")
  end
end

local whole_times = number_in(0, 1000000000, true)

local function times(value)
  if value == "forever" then return nil end
  if whole_times(value) then return "must be a whole number, or 'forever'" end
end

local function retry_after(value)
  if type(value) == "number" and value >= 0 and value <= 1000000000 then return nil end
  if type(value) == "string" and #value <= 100 and not value:match("[%c]") then return nil end
  return "must be a number of seconds, or the text of a date"
end

local function headers(value)
  if type(value) ~= "table" or #value > 0 then return "must be an object of strings" end
  for name, text in pairs(value) do
    if type(name) ~= "string" or not name:match("^[%w%-_]+$") then
      return "has a name that is no header name"
    elseif type(text) ~= "string" or text:match("[%c]") then
      return string.format("has a value for '%s' that is no string without control characters",
        name)
    end
  end
end

-- Every field of a fault with its check. docs/sandbox.md describes them.
local FIELDS = {
  status = number_in(200, 599, true),
  error_code = text_up_to(200),
  error_desc = text_up_to(10000),
  delay = number_in(0, M.limits.delay),
  body = one_of("empty", "cut_off", "garbage", "oversized"),
  size = number_in(1, M.limits.size, true),
  text = text_up_to(M.limits.text),
  retry_after = retry_after,
  date_skew = number_in(-1e9, 1e9),
  headers = headers,
  close = one_of("before", "after"),
  store = boolean,
  pass = boolean,
  times = times,
  probability = number_in(0, 1),
  customer_id = text_up_to(1000),
  min_events = number_in(0, 1e9, true),
  min_bytes = number_in(0, 1e9, true),
}

-- Fields that do something; the others say when.
local ACTIONS = { "status", "error_code", "error_desc", "delay", "body", "text", "retry_after",
  "date_skew", "headers", "close", "pass" }

local function names_of(map)
  local list = {}
  for name in pairs(map) do list[#list + 1] = name end
  table.sort(list)
  return list
end

local FIELD_NAMES = names_of(FIELDS)

local function complain(errors, path, code, message)
  errors[#errors + 1] = { path = path, code = code, message = message }
end

-- Fields that contradict each other: { a, b, what to say }.
local CONFLICTS = {
  { "body", "text", "'body' and 'text' both say what the body is" },
  { "close", "status", "a closed connection has no status" },
  { "close", "body", "a closed connection has no body" },
  { "close", "text", "a closed connection has no body" },
  { "close", "error_code", "a closed connection has no error code" },
  { "close", "retry_after", "a closed connection has no headers" },
  { "close", "headers", "a closed connection has no headers" },
  { "close", "date_skew", "a closed connection has no headers" },
  { "close", "store", "'close' already says whether the request is stored" },
}

local function check_together(fault, path, errors)
  local acts = false
  for _, name in ipairs(ACTIONS) do acts = acts or fault[name] ~= nil end
  if not acts then
    return complain(errors, path, "NO_EFFECT",
      "says nothing that would change an answer (use 'pass' for an unchanged one)")
  end
  for _, pair in ipairs(CONFLICTS) do
    if fault[pair[1]] ~= nil and fault[pair[2]] ~= nil then
      complain(errors, path .. "." .. pair[2], "CONFLICT", pair[3])
    end
  end
  if fault.size and fault.body ~= "oversized" then
    complain(errors, path .. ".size", "CONFLICT", "only means something beside body 'oversized'")
  end
  if fault.pass then
    for _, name in ipairs(ACTIONS) do
      if name ~= "pass" and fault[name] ~= nil then
        complain(errors, path .. "." .. name, "CONFLICT", "'pass' leaves the answer as it is")
      end
    end
    if fault.store == false then
      complain(errors, path .. ".store", "CONFLICT", "'pass' leaves the answer as it is")
    end
  end
end

local function check_fault(fault, path, errors)
  if type(fault) ~= "table" or #fault > 0 then
    return complain(errors, path, "WRONG_TYPE", "must be an object")
  end
  local before = #errors
  for _, name in ipairs(names_of(fault)) do
    local check = FIELDS[name]
    if not check then
      complain(errors, path .. "." .. name, "UNKNOWN_KEY",
        nearest.message("key", name, FIELD_NAMES))
    else
      local message = check(fault[name])
      if message then complain(errors, path .. "." .. name, "INVALID_VALUE", message) end
    end
  end
  if #errors == before then check_together(fault, path, errors) end
end

local function check_ids(value)
  local message = "must be an array of strings"
  if type(value) ~= "table" or (next(value) ~= nil and #value == 0) then return message end
  if #value > M.limits.customer_ids then
    return string.format("has more than %d entries", M.limits.customer_ids)
  end
  for _, id in ipairs(value) do
    if type(id) ~= "string" then return message end
  end
end

local RULES = {
  reject_customer_ids = check_ids,
  clock_skew = number_in(-1e9, 1e9),
  seed = number_in(1, 2147483646, true),
}

local ENVELOPE = { "faults", "reject_customer_ids", "clock_skew", "seed" }

-- Whether the object is `{"faults": […], …}` or a fault by itself.
local function is_envelope(script)
  for _, name in ipairs(ENVELOPE) do
    if script[name] ~= nil then return true end
  end
  return false
end

local function check_envelope(script, errors)
  for _, name in ipairs(names_of(script)) do
    local check = RULES[name]
    if check then
      local message = check(script[name])
      if message then complain(errors, name, "INVALID_VALUE", message) end
    elseif name ~= "faults" then
      complain(errors, name, "UNKNOWN_KEY", nearest.message("key", name, ENVELOPE))
    end
  end
end

--- An empty script. `seed` starts the sequence of the faults that have a probability.
---@param seed integer|nil
function M.new(seed)
  local self = setmetatable({ first_seed = seed or 1 }, faults_mt)
  self:clear()
  return self
end

--- Forgets the script, the rules and the counts.
function Faults:clear()
  self.script, self.applied = {}, 0
  self.rejected_ids, self.rejected = {}, {}
  self.clock_skew = 0
  self.seed = self.first_seed
end

-- Park and Miller's generator: every product stays below 2^53, so every Lua computes the same.
local function random(self)
  self.seed = (self.seed * 16807) % 2147483647
  return self.seed / 2147483647
end

local function append(self, fault)
  local count = fault.times
  if count == nil then count = 1 end
  if count == 0 or count == "forever" then count = math.huge end
  self.script[#self.script + 1] = { fault = fault, left = count }
end

local function set_rules(self, script)
  if script.reject_customer_ids then
    self.rejected_ids, self.rejected = script.reject_customer_ids, {}
    for _, id in ipairs(self.rejected_ids) do self.rejected[id] = true end
  end
  if script.clock_skew then self.clock_skew = script.clock_skew end
  if script.seed then self.seed = script.seed end
end

local function list_of(script)
  if #script > 0 or next(script) == nil then return script, "" end
  if is_envelope(script) then return script.faults or {}, "faults" end
  return { script }, ""
end

--- Appends to the script and sets rules: all of what is given, or nothing of it.
---@param script any decoded JSON: a fault, an array of faults, or an object with `faults` and rules
---@return integer|nil count how many faults were added
---@return table[]|nil errors { path, code, message }
function Faults:add(script)
  local errors = {}
  if type(script) ~= "table" then
    return nil, { { path = "", code = "WRONG_TYPE",
      message = "must be a fault, an array of faults, or an object with 'faults'" } }
  end
  local list, prefix = list_of(script)
  if prefix == "faults" then check_envelope(script, errors) end
  if type(list) ~= "table" or (next(list) ~= nil and #list == 0) then
    complain(errors, "faults", "WRONG_TYPE", "must be an array of faults")
    return nil, errors
  end
  for i, fault in ipairs(list) do
    check_fault(fault, string.format("%s[%d]", prefix, i - 1), errors)
  end
  if #self.script + #list > M.limits.faults then
    complain(errors, prefix, "TOO_MANY", string.format("more than %d faults would wait",
      M.limits.faults))
  end
  if #errors > 0 then return nil, errors end
  for _, fault in ipairs(list) do append(self, fault) end
  if prefix == "faults" then set_rules(self, script) end
  return #list
end

---@class quickaudience.sandbox.faults.call
---@field events table[] the events of the batch, as far as it could be read
---@field bytes integer size of the body

local function holds_customer(events, id)
  for i = 1, #events do
    local event = events[i]
    if type(event) == "table" and event.customerId == id then return true end
  end
  return false
end

local function applies(self, fault, call)
  if fault.min_events and #call.events < fault.min_events then return false end
  if fault.min_bytes and call.bytes < fault.min_bytes then return false end
  if fault.customer_id and not holds_customer(call.events, fault.customer_id) then return false end
  if fault.probability and random(self) >= fault.probability then return false end
  return true
end

--- The fault for a call: the first of the script whose conditions it meets, or nil.
---@param call quickaudience.sandbox.faults.call
---@return table|nil
function Faults:pick(call)
  for i, waiting in ipairs(self.script) do
    if applies(self, waiting.fault, call) then
      waiting.left = waiting.left - 1
      if waiting.left <= 0 then table.remove(self.script, i) end
      if not waiting.fault.pass then self.applied = self.applied + 1 end
      return waiting.fault
    end
  end
  return nil
end

--- Whether a fault lets the request be stored. What only disturbs the answer does; what answers
--- that the call failed does not, unless it says so.
---@param fault table
---@return boolean
function M.stores(fault)
  if fault.close then return fault.close == "after" end
  if fault.store ~= nil then return fault.store end
  return not M.fails(fault)
end

--- Whether a fault answers that the call failed.
---@param fault table
---@return boolean
function M.fails(fault)
  return fault.error_code ~= nil or fault.error_desc ~= nil or (fault.status or 200) >= 300
end

--- The JSON text that describes script and rules.
---@return string
function Faults:describe()
  local waiting = {}
  for i, entry in ipairs(self.script) do
    local copy = {}
    for name, value in pairs(entry.fault) do copy[name] = value end
    copy.times = entry.left == math.huge and "forever" or entry.left
    waiting[i] = cjson.encode(copy)
  end
  local ids = {}
  for i, id in ipairs(self.rejected_ids) do ids[i] = cjson.encode(id) end
  return string.format('{"applied":%d,"waiting":%d,"faults":[%s],'
    .. '"reject_customer_ids":[%s],"clock_skew":%s}',
    self.applied, #waiting, table.concat(waiting, ","), table.concat(ids, ","),
    cjson.encode(self.clock_skew))
end

return M
