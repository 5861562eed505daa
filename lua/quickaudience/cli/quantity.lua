-- quantity.lua
-- Reads what people write for sizes, durations, counts and switches: 512KiB, 200ms, 10s, yes.
-- Does not know which setting a quantity is for.
-- SPDX-License-Identifier: MIT
local M = {}

local SIZES = {
  b = 1, kib = 1024, mib = 1024 ^ 2, gib = 1024 ^ 3, tib = 1024 ^ 4,
  kb = 1e3, mb = 1e6, gb = 1e9, tb = 1e12,
}

local DURATIONS = {
  ms = 0.001, s = 1, sec = 1, m = 60, min = 60, h = 3600, d = 86400,
}

local SWITCHES = {
  ["true"] = true, yes = true, on = true, ["1"] = true,
  ["false"] = false, no = false, off = false, ["0"] = false,
}

local function scaled(text, scales, example)
  local digits, unit = text:match("^%s*(%d*%.?%d*)%s*(%a*)%s*$")
  local number = tonumber(digits or "")
  if not number then return nil, "expected " .. example .. ", got '" .. text .. "'" end
  if unit == "" then return number end
  local scale = scales[unit:lower()]
  if not scale then return nil, "unknown unit '" .. unit .. "'; expected " .. example end
  return number * scale
end

--- Bytes: 524288, 512KiB, 1.5MB.
---@param text string
---@return number|nil bytes
---@return string|nil message
function M.bytes(text)
  local bytes, message = scaled(text, SIZES, "a size such as 512KiB")
  return bytes and math.floor(bytes + 0.5), message
end

--- Seconds: 0.2, 200ms, 10s, 5min, 24h.
---@param text string
---@return number|nil seconds
---@return string|nil message
function M.seconds(text)
  return scaled(text, DURATIONS, "a duration such as 200ms or 10s")
end

--- A number without a unit. Not tonumber alone: that takes 0x10 and nan too.
---@param text string
---@return number|nil
---@return string|nil message
function M.number(text)
  local number = text:match("^%s*[%d.eE+-]+%s*$") and tonumber(text)
  if not number then return nil, "expected a number, got '" .. text .. "'" end
  return number
end

--- Yes or no.
---@param text string
---@return boolean|nil
---@return string|nil message
function M.switch(text)
  local value = SWITCHES[text:lower()]
  if value == nil then return nil, "expected true or false, got '" .. text .. "'" end
  return value
end

--- A converter for argparse: a whole number from `low` to `high`.
---@param name string the option, for the message
---@param low number
---@param high number
function M.whole(name, low, high)
  return function(text)
    local number = text:match("^%d+$") and tonumber(text)
    if not number or number < low or number > high then
      return nil, string.format("%s: must be a whole number from %.0f to %.0f, is '%s'", name,
        low, high, text)
    end
    return number
  end
end

--- Pairs as a table; nil and a message if a name stands twice, of which one would be lost.
---@param name string the option, for the message
---@param pairs_given { [1]: string, [2]: string }[]
---@return table<string, string>|nil
---@return string|nil message
function M.unique(name, pairs_given)
  local found = {}
  for _, pair in ipairs(pairs_given) do
    if found[pair[1]] then return nil, name .. ": '" .. pair[1] .. "' stands twice" end
    found[pair[1]] = pair[2]
  end
  return found
end

--- The parts of `name=value`, for argparse.
---@param name string the option, for the message
---@param example string
function M.pair(name, example)
  return function(text)
    local key, value = text:match("^([^=]+)=(.*)$")
    if not key then
      return nil, string.format("%s: expected %s, got '%s'", name, example, text)
    end
    return { key, value }
  end
end

return M
