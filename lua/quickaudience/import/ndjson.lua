-- ndjson.lua
-- Reads lines that are one JSON object each.
-- Does not know what an event may hold.
-- SPDX-License-Identifier: MIT
local cjson = require "cjson"

local M = {}

local decode, find = cjson.decode, string.find

---@class quickaudience.import.ndjson
local Ndjson = {}
local metatable = { __index = Ndjson }

--- The next line's object; false and a reason if it is none; nil when there is no line.
--- Blank lines are passed over.
---@return table|false|nil
---@return string|nil reason
function Ndjson:next()
  local lines = self.lines
  while true do
    local text, reason = lines:next()
    if not text then
      self.failure = lines.failure
      return nil
    end
    self.number, self.text = lines.number, text
    if reason then return false, reason end
    local ok, value = pcall(decode, text)
    if ok and type(value) == "table" then return value end
    -- Ctrl-C is an error that Lua raises wherever it is, in here too.
    if not ok and find(tostring(value), "interrupted!", 1, true) then error(value, 0) end
    if find(text, "%S") then
      return false, ok and "not a JSON object" or "not JSON: " .. tostring(value)
    end
  end
end

--- The object of one line; nil if it is none.
---@param text string
---@return table|nil
function M.parse(text)
  local ok, value = pcall(decode, text)
  return ok and type(value) == "table" and value or nil
end

--- Where the next line begins, in bytes of the source.
---@return integer
function Ndjson:offset()
  return self.lines:offset()
end

--- How many lines were read.
---@return integer
function Ndjson:line()
  return self.lines.number
end

function Ndjson:skip_to(offset, number)
  return self.lines:skip_to(offset, number)
end

--- The objects of lines.
---@param lines quickaudience.import.lines
---@return quickaudience.import.ndjson
function M.new(lines)
  return setmetatable({ lines = lines, number = 0, text = "" }, metatable)
end

return M
