--- model.lua
-- The event model: which fields an event has, what each may hold, and what makes two the same.
-- Does not know where events come from or where they go.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"

local null = cjson.null

local M = {}

-- A time below this many is no millisecond count of our days: it is the year 1973.
local LEAST_MS = 100000000000
-- And one above is beyond the year 5000: microseconds, most likely.
local MOST_MS = 100000000000000

-- Every field of the documented model that is a string. Fields beyond these pass through.
local STRINGS = {
  { "organizationId", required = true },
  { "customerId", required = true },
  { "eventCode", required = true },
  { "workspaceId" },
  { "entityId" },
  { "isOrder" },
}

local function kind(value)
  if value == nil then return "nothing" end
  if value == null then return "null" end
  if type(value) == "table" then return #value > 0 and "an array" or "an object" end
  return "a " .. type(value)
end

-- What the checks of one event share: the list of errors found and the event's place.
local function add(errors, index, path, code, message)
  errors[#errors + 1] = {
    index = index, path = string.format("[%d]%s", index, path), code = code, message = message,
  }
end

local function check_strings(event, index, errors)
  for i = 1, #STRINGS do
    local field = STRINGS[i]
    local name = field[1]
    local value = event[name]
    if type(value) == "string" then
      if value == "" and field.required then
        add(errors, index, "." .. name, "EMPTY", "must not be empty")
      end
    elseif value ~= nil and value ~= null then
      add(errors, index, "." .. name, "WRONG_TYPE", "must be a string, is " .. kind(value))
    elseif field.required then
      add(errors, index, "." .. name, "MISSING", "is missing")
    end
  end
end

local function check_time(time, index, errors)
  local path = ".eventTime"
  if time == nil or time == null then
    add(errors, index, path, "MISSING", "is missing")
  elseif type(time) ~= "number" then
    add(errors, index, path, "WRONG_TYPE", "must be a whole number of milliseconds, is "
      .. kind(time))
  elseif time ~= math.floor(time) then
    add(errors, index, path, "WRONG_TYPE", "must be a whole number of milliseconds")
  elseif time >= 0 and time < LEAST_MS then
    add(errors, index, path, "OUT_OF_RANGE", "looks like seconds; milliseconds are needed")
  elseif time < 0 or time > MOST_MS then
    add(errors, index, path, "OUT_OF_RANGE", "is no time in milliseconds since 1970")
  end
end

-- The name of an attribute as a path step: plain names follow a dot, others stand in brackets.
local function step(name)
  if name:match("^[%a_][%w_]*$") then return "." .. name end
  return "[" .. cjson.encode(name) .. "]"
end

local function check_attributes(attributes, index, errors)
  local path = ".extendAttributes"
  if attributes == nil or attributes == null then return end
  if type(attributes) ~= "table" then
    return add(errors, index, path, "WRONG_TYPE", "must be an object of strings, is "
      .. kind(attributes))
  end
  for name, value in pairs(attributes) do
    if type(value) ~= "string" then
      if type(name) ~= "string" then
        return add(errors, index, path, "WRONG_TYPE", "must be an object of strings, is an array")
      end
      add(errors, index, path .. step(name), "WRONG_TYPE", "must be a string, is " .. kind(value))
    elseif type(name) ~= "string" then
      return add(errors, index, path, "WRONG_TYPE", "must be an object of strings, is an array")
    end
  end
end

local function check_ids(ids, index, errors)
  local path = ".customerIdList"
  if ids == nil or ids == null then return end
  if type(ids) ~= "table" or (next(ids) ~= nil and #ids == 0) then
    return add(errors, index, path, "WRONG_TYPE", "must be an array, is " .. kind(ids))
  end
  for i = 1, #ids do
    local entry, at = ids[i], string.format("%s[%d]", path, i - 1)
    if type(entry) ~= "table" or #entry > 0 then
      add(errors, index, at, "WRONG_TYPE", "must be an object, is " .. kind(entry))
    else
      for _, name in ipairs { "customerId", "idMapping" } do
        local value = entry[name]
        if value == nil or value == null then
          add(errors, index, at .. "." .. name, "MISSING", "is missing")
        elseif type(value) ~= "string" then
          add(errors, index, at .. "." .. name, "WRONG_TYPE", "must be a string, is "
            .. kind(value))
        elseif value == "" then
          add(errors, index, at .. "." .. name, "EMPTY", "must not be empty")
        end
      end
    end
  end
end

--- Checks one event of a batch and appends what is wrong with it to `errors`.
---@param event any decoded JSON
---@param index integer place in the batch, from 0
---@param errors table[] { index, path, code, message }
---@param organization string|nil what organizationId must be (inferred); nil: anything
function M.check(event, index, errors, organization)
  if type(event) ~= "table" or #event > 0 then
    return add(errors, index, "", "WRONG_TYPE", "must be an object, is " .. kind(event))
  end
  check_strings(event, index, errors)
  check_time(event.eventTime, index, errors)
  check_attributes(event.extendAttributes, index, errors)
  check_ids(event.customerIdList, index, errors)
  local order = event.isOrder
  if type(order) == "string" and order ~= "0" and order ~= "1" then
    add(errors, index, ".isOrder", "INVALID_VALUE", 'must be "0" or "1"')
  end
  local given = event.organizationId
  if organization and type(given) == "string" and given ~= "" and given ~= organization then
    add(errors, index, ".organizationId", "ORGANIZATION_MISMATCH",
      "is not the accessId of the call")
  end
end

local names, parts = {}, {} -- reused, because this runs once per event

--- A text that is equal for two valid events exactly if they say the same: same subject, code,
--- time and attributes. The order of the attributes does not matter.
---@param event table a valid event
---@return string
function M.identity(event)
  local n = 0
  local attributes = event.extendAttributes
  if type(attributes) == "table" then
    for name in pairs(attributes) do
      n = n + 1
      names[n] = name
    end
  end
  for i = n + 1, #names do names[i] = nil end
  if n > 1 then table.sort(names) end

  local p = parts
  p[1], p[2], p[3] = event.customerId, event.eventCode, string.format("%.0f", event.eventTime)
  p[4], p[5], p[6] = event.organizationId, event.workspaceId or null, event.entityId or null
  if p[5] == null then p[5] = "" end
  if p[6] == null then p[6] = "" end
  for i = 1, n do
    p[5 + 2 * i], p[6 + 2 * i] = names[i], attributes[names[i]]
  end
  local size = 6 + 2 * n
  -- A zero byte cannot be told from one inside a value, so each length goes in as well.
  for i = 1, size do p[i] = #p[i] .. ":" .. p[i] end
  return table.concat(p, "", 1, size)
end

--- Cuts the text of a JSON array into the texts of its elements, as they came.
---@param text string valid JSON, an array
---@return string[]
function M.split(text)
  local elements, depth, start = {}, 0, nil
  local at = 1
  while true do
    at = text:find('[%[%]{}",]', at)
    if not at then return elements end
    local char = text:sub(at, at)
    if char == '"' then
      local close = at
      repeat
        close = text:find('["\\]', close + 1)
        local escaped = text:sub(close, close) == "\\"
        if escaped then close = close + 1 end
      until not escaped
      at = close
    elseif char == "[" or char == "{" then
      depth = depth + 1
      if depth == 1 then start = at + 1 end
    elseif char ~= "," then
      depth = depth - 1
    end
    if (char == "," and depth == 1) or depth == 0 then
      local element = text:sub(start, at - 1):match("^%s*(.-)%s*$")
      if element ~= "" then elements[#elements + 1] = element end
      start = at + 1
      if depth == 0 then return elements end
    end
    at = at + 1
  end
end

-- The two checks below look at every byte of every batch. A plain loop over the bytes is what
-- LuaJIT compiles well; a pattern such as "[\128-\255]" takes fifteen times as long.
local byte = string.byte

-- The length of the sequence that starts with byte `a` at `at`, or nil if it is none (RFC 3629).
local function sequence_length(text, at, a)
  local b, c, d = byte(text, at + 1, at + 3)
  if not b or b < 0x80 or b > 0xBF then return nil end
  if a >= 0xC2 and a <= 0xDF then return 2 end
  if not c or c < 0x80 or c > 0xBF then return nil end
  if a == 0xE0 and b < 0xA0 or a == 0xED and b > 0x9F then return nil end
  if a >= 0xE0 and a <= 0xEF then return 3 end
  if not d or d < 0x80 or d > 0xBF then return nil end
  if a == 0xF0 and b < 0x90 or a == 0xF4 and b > 0x8F then return nil end
  if a >= 0xF0 and a <= 0xF4 then return 4 end
  return nil
end

--- Where a text stops being UTF-8: the offset from 0 of the first bad byte, or nil.
---@param text string
---@return integer|nil
function M.utf8_fault(text)
  local at, size = 1, #text
  while at <= size do
    local a = byte(text, at)
    if a < 0x80 then
      at = at + 1
    else
      local length = sequence_length(text, at, a)
      if not length then return at - 1 end
      at = at + length
    end
  end
  return nil
end

-- Whether the line break at `at` stands between two events, as it does in most batches.
local function between_events(text, at)
  local a, b, line, d = byte(text, math.max(at - 2, 1), at + 1)
  return a == 0x7D and b == 0x2C and line == 0x0A and d == 0x7B -- "},\n{"
end

-- Looks at the strings one by one.
local function fault_in_strings(text)
  local at = text:find('"', 1, true)
  while at do
    at = text:find('["\\\1-\31]', at + 1)
    local char = text:sub(at, at)
    if char == '"' then
      at = text:find('"', at + 1, true)
    elseif char == "\\" then
      at = at + 1
    else
      return at - 1
    end
  end
  return nil
end

--- Where a string of a JSON text holds a raw control character, which JSON forbids and lua-cjson
--- lets pass: the offset from 0 of the first, or nil.
---@param text string valid JSON but for that
---@return integer|nil
function M.control_fault(text)
  for at = 1, #text do
    if byte(text, at) < 0x20 and not between_events(text, at) then
      return fault_in_strings(text)
    end
  end
  return nil
end

return M
