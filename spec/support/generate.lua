--- generate.lua
-- Makes random events, and says what each has to be on the wire.
-- Does not know the encoder: the expectation is built from the documented model alone.
-- SPDX-License-Identifier: MIT

local M = {}

local Generator = {}
local generator_mt = { __index = Generator }

--- A generator; the same seed gives the same events on every Lua.
---@param seed integer
function M.new(seed)
  return setmetatable({ state = seed % 2147483647 }, generator_mt)
end

-- Lehmer's generator: exact in a double, so it does not depend on the Lua.
function Generator:integer(low, high)
  self.state = (self.state * 48271 + 11) % 2147483647
  return low + self.state % (high - low + 1)
end

function Generator:chance(percent)
  return self:integer(1, 100) <= percent
end

function Generator:pick(list)
  return list[self:integer(1, #list)]
end

-- Whole characters, so that nothing is replaced: every class that JSON or a form treats apart.
local PIECES = { "a", "Z", "0", " ", '"', "\\", "/", "<", ">", "&", "'", "+", "%", "=", ";", ",",
  "{", "}", "[", "]", ":", "\0", "\1", "\8", "\t", "\n", "\11", "\12", "\r", "\27", "\31", "\127",
  "\194\128", "\195\164", "\223\191", "\224\160\128", "\226\128\168", "\226\128\169",
  "\237\159\191", "\238\128\128", "\239\187\191", "\239\191\189", "\239\191\191",
  "\240\144\128\128", "\240\159\152\128", "\244\143\191\191", "\228\184\173\230\150\135",
  ",\n", "]}", "--boundary\r\n", "null", "\\u0000" }

function Generator:text(most)
  local pieces = {}
  for i = 1, self:integer(1, most or 12) do pieces[i] = self:pick(PIECES) end
  return table.concat(pieces)
end

local TWO_53 = 2 ^ 53
local to_integer = rawget(math, "tointeger")

function Generator:whole()
  local kind = self:integer(1, 5)
  local value
  if kind == 1 then value = self:integer(-10, 10)
  elseif kind == 2 then value = self:integer(-2 ^ 30, 2 ^ 30)
  elseif kind == 3 then value = TWO_53 - self:integer(0, 10)
  elseif kind == 4 then value = 10 ^ self:integer(0, 15)
  else value = self:integer(0, 2 ^ 26) * 2 ^ 27 + self:integer(0, 2 ^ 26) end
  if self:chance(30) then value = -value end
  -- Of both kinds, where Lua has two.
  if to_integer and self:chance(50) then return to_integer(value) or value end
  return value == 0 and 0 or value
end

function Generator:fraction()
  local kind = self:integer(1, 4)
  local value
  if kind == 1 then value = self:integer(1, 1000000) / 100
  elseif kind == 2 then value = self:integer(1, 2 ^ 30) / self:integer(1, 2 ^ 30)
  elseif kind == 3 then value = (self:integer(1, 2 ^ 30) + 0.5) * 10 ^ self:integer(-300, 290)
  else value = 2 ^ self:integer(-1060, -1) end
  return self:chance(30) and -value or value
end

function Generator:scalar()
  local kind = self:integer(1, 4)
  if kind == 1 then return self:whole() end
  if kind == 2 then return self:fraction() end
  if kind == 3 then return self:chance(50) end
  return self:text()
end

-- A table as an attribute's value: a list, an object, of anything.
function Generator:nested(depth)
  if depth == 0 or self:chance(40) then return self:scalar() end
  local value, count = {}, self:integer(1, 4)
  if self:chance(50) then
    for i = 1, count do value[i] = self:nested(depth - 1) end
  else
    for _ = 1, count do value["k" .. self:text(3)] = self:nested(depth - 1) end
  end
  return value
end

-- The text that an attribute's value becomes; a table or a fraction stays: there is more than one
-- right text, and the reader compares by meaning.
local function wire_value(value)
  if type(value) == "boolean" then return tostring(value) end
  if type(value) == "number" and value == math.floor(value) and math.abs(value) <= TWO_53 then
    return (string.format("%.0f", value):gsub("^%-0$", "0"))
  end
  return value
end

function Generator:attributes()
  local given, wire = {}, {}
  for _ = 1, self:integer(0, 8) do
    local name = self:text(4)
    local value = self:chance(25) and { self:nested(3) } or self:scalar()
    given[name], wire[name] = value, wire_value(value)
  end
  return given, wire
end

function Generator:customer_ids()
  local given, wire = {}, {}
  local as_list = self:chance(40)
  for i = 1, self:integer(0, 4) do
    local kind, id = "T" .. i .. self:text(2), self:text(4)
    wire[#wire + 1] = { customerId = id, idMapping = kind }
    if as_list then
      given[i] = self:chance(50) and { id = id, type = kind }
        or { customerId = id, idMapping = kind }
    elseif self:chance(30) then
      local other = self:text(4)
      given[kind] = { id, other }
      wire[#wire + 1] = { customerId = other, idMapping = kind }
    else
      given[kind] = id
    end
  end
  return given, wire
end

--- A random event, and the table that its JSON has to be read back as.
---@return table event
---@return table wire
function Generator:event()
  local event, wire = {}, {}
  local function set(name, wire_name, value, wire_form)
    event[self:chance(70) and name or wire_name] = value
    wire[wire_name] = wire_form == nil and value or wire_form
  end
  set("customer_id", "customerId", self:text())
  set("event_code", "eventCode", self:text())
  set("event_time", "eventTime", 1500000000000 + self:integer(0, 2 ^ 30) * 100)
  if self:chance(50) then set("organization_id", "organizationId", self:text()) end
  if self:chance(30) then set("workspace_id", "workspaceId", self:text()) end
  if self:chance(30) then set("entity_id", "entityId", self:text()) end
  if self:chance(30) then
    local is_order = self:chance(50)
    local spelling = self:pick { is_order, is_order and "1" or "0" }
    set("is_order", "isOrder", spelling, is_order and "1" or "0")
  end
  if self:chance(85) then set("attributes", "extendAttributes", self:attributes()) end
  if self:chance(40) then set("customer_ids", "customerIdList", self:customer_ids()) end
  if self:chance(15) then
    local extra = { comeFrom = self:text(), [("x" .. self:text(3))] = self:nested(2) }
    event.extra = extra
    for name, value in pairs(extra) do wire[name] = value end
  end
  return event, wire
end

return M
