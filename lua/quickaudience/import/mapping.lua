-- mapping.lua
-- Makes an event of a record: which column becomes which field, and what all events have in common.
-- Does not know where records come from, nor what the client accepts.
-- SPDX-License-Identifier: MIT
local cjson = require "cjson"
local core = require "quickaudience.core"

local M = {}

-- The fields that a column may fill, with how its text is read.
local TEXT, MILLISECONDS, SWITCH = "text", "milliseconds", "switch"
M.fields = {
  customer_id = TEXT, event_code = TEXT, event_time = MILLISECONDS, entity_id = TEXT,
  workspace_id = TEXT, organization_id = TEXT, is_order = SWITCH,
}

local WIRE = {
  customerId = "customer_id", eventCode = "event_code", eventTime = "event_time",
  entityId = "entity_id", workspaceId = "workspace_id", organizationId = "organization_id",
  isOrder = "is_order",
}

local NAMES = { "customer_id", "event_code", "event_time", "entity_id", "workspace_id",
  "organization_id", "is_order", "attributes.", "customer_ids." }

--- Where a name such as `customer_id`, `attributes.price` or `customer_ids.MOBILE` puts a value.
---@param name string
---@return { kind: string, name: string }|nil
---@return string|nil message
function M.target(name)
  local field = WIRE[name] or name
  if M.fields[field] then return { kind = M.fields[field], name = field } end
  local attribute = name:match("^attributes%.(.+)$")
  if attribute then return { kind = "attribute", name = attribute } end
  local id_type = name:match("^customer_ids%.(.+)$")
  if id_type then return { kind = "id", name = id_type } end
  local meant = core.nearest(name, NAMES)
  return nil, "unknown field '" .. name .. "'; " .. (meant and "did you mean '" .. meant .. "'?"
    or "expected one of " .. table.concat(NAMES, ", ") .. " (with a name behind the dot), or - "
      .. "to leave it out")
end

local converters = {}

function converters.text(text)
  return text
end

-- What is no whole number stays a text, which the client refuses with the field's name.
function converters.milliseconds(text)
  return text:find("^%d+$") and tonumber(text) or text
end

local SWITCHES = { ["true"] = true, ["1"] = true, yes = true, ["false"] = false, ["0"] = false,
  no = false }

function converters.switch(text)
  local value = SWITCHES[text:lower()]
  if value == nil then return text end
  return value
end

--- Puts a text where a target says.
function M.put(event, target, text)
  if target.kind == "attribute" then
    local attributes = event.attributes
    if not attributes then
      attributes = {}
      event.attributes = attributes
    end
    attributes[target.name] = text
  elseif target.kind == "id" then
    event.customer_ids = event.customer_ids or {}
    event.customer_ids[target.name] = text
  else
    event[target.name] = converters[target.kind](text)
  end
end

-- Two columns in one place would leave only one of the two values, and not say which.
local function clash(targets, names)
  local taken = {}
  for i, target in ipairs(targets) do
    local place = target and target.kind .. " " .. target.name
    if place and taken[place] then
      return string.format("the columns '%s' and '%s' both fill %s: map one of them elsewhere, "
        .. "or to -", names[taken[place]], names[i], target.name)
    end
    if place then taken[place] = i end
  end
end

-- Where each column goes: by the user's words, else by its own name, else into an attribute.
local function targets_of(names, given, known)
  local targets = {}
  for i, name in ipairs(names) do
    local wanted = given[name] or given[tostring(i)]
    known[name], known[tostring(i)] = true, true
    local target
    if wanted and wanted ~= "-" then
      local message
      target, message = M.target(wanted)
      if not target then return nil, message end
    elseif not wanted and name ~= "" then
      target = M.target(name) or { kind = "attribute", name = name }
    end
    targets[i] = target or false
  end
  return targets
end

--- The columns of a CSV file.
---@param names string[] of the columns; numbers if the file names none
---@param given table<string, string> column name or number to field, or "-" to leave it out
---@return table[]|nil targets
---@return string|nil message
function M.columns(names, given)
  local known = {}
  local targets, message = targets_of(names, given, known)
  if not targets then return nil, message end
  for name in pairs(given) do
    if not known[name] then
      return nil, "there is no column '" .. name .. "'; the columns are "
        .. table.concat(names, ", "):sub(1, 300)
    end
  end
  message = clash(targets, names)
  if message then return nil, message end
  return targets
end

--- The event of a record's fields; nil and a reason. An empty field is no value.
---@param targets table[]
---@param fields string[]
---@param count integer
---@return table|nil event
---@return string|nil reason
function M.event(targets, fields, count)
  if count ~= #targets then
    return nil, string.format("%d fields, expected %d", count, #targets)
  end
  local event = {}
  for i = 1, count do
    local target, text = targets[i], fields[i]
    if target and text ~= "" then M.put(event, target, text) end
  end
  return event
end

--- A function that gives an event what it lacks, or nil if there is nothing to give.
---@param pairs_given { [1]: string, [2]: string }[] field and text
---@return fun(event: table)|nil
---@return string|nil message
function M.defaults(pairs_given)
  local list = {}
  for i, pair in ipairs(pairs_given) do
    local target, message = M.target(pair[1])
    if not target then return nil, message end
    list[i] = { target = target, text = pair[2] }
  end
  local wire = {}
  for spelled, name in pairs(WIRE) do wire[name] = spelled end
  local function lacks(event, target)
    if target.kind == "attribute" then
      local attributes = event.attributes or event.extendAttributes
      return type(attributes) ~= "table" or attributes[target.name] == nil
    elseif target.kind == "id" then
      return event.customer_ids == nil or event.customer_ids[target.name] == nil
    end
    return event[target.name] == nil and event[wire[target.name]] == nil
  end
  return #list > 0 and function(event)
    for _, item in ipairs(list) do
      if lacks(event, item.target) then
        if item.target.kind == "attribute" and event.extendAttributes then
          event.extendAttributes[item.target.name] = item.text
        else
          M.put(event, item.target, item.text)
        end
      end
    end
  end or nil
end

--- Takes out what JSON says is null, from the event and its attributes: no value, in many exports.
---@param event table
---@return boolean some
function M.drop_nulls(event)
  local some = false
  for _, part in ipairs { event, event.attributes or false, event.extendAttributes or false } do
    for name, value in pairs(type(part) == "table" and part or {}) do
      if value == cjson.null then
        part[name], some = nil, true
      end
    end
  end
  return some
end

return M
