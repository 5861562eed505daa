-- lines.lua
-- Cuts a source into lines, and knows each one's number and where the next begins.
-- Does not know what a line holds.
-- SPDX-License-Identifier: MIT
local M = {}

-- Bytes. A longer line is refused instead of filling the memory; no event can be as large.
M.LENGTH_MAX = 16 * 1024 * 1024

local find, sub = string.find, string.sub

---@class quickaudience.import.lines
---@field number integer the line that next() returned last
---@field failure string|nil why reading ended early
local Lines = {}
local metatable = { __index = Lines }

--- Where the next line begins, in bytes of the source.
---@return integer
function Lines:offset()
  return self.base + self.position - 1
end

-- Appends a block to what is left of the buffer; false at the end of the source.
local function fill(self)
  local block, message = self.source:read()
  if not block then
    self.failure = message
    return false
  end
  self.base = self.base + self.position - 1
  self.buffer = sub(self.buffer, self.position) .. block
  self.position = 1
  return true
end

-- Reads on to the end of a line that is too long, keeping none of it.
local function drop_line(self)
  repeat
    self.base = self.base + #self.buffer
    self.buffer, self.position = "", 1
    if not fill(self) then return end
    local at = find(self.buffer, "\n", 1, true)
    if at then self.position = at + 1 end
  until at
end

-- The rest of a line whose end is not in the buffer. `pieces` keeps a long line from being copied
-- once for each block.
local function long_line(self)
  local pieces, length = { sub(self.buffer, self.position) }, #self.buffer - self.position + 1
  while true do
    self.base = self.base + #self.buffer
    self.buffer, self.position = "", 1
    if not fill(self) then
      if self.failure or length == 0 then return nil end
      return table.concat(pieces)
    end
    local at = find(self.buffer, "\n", 1, true)
    length = length + (at or #self.buffer)
    if length > self.length_max then
      if at then self.position = at + 1 else drop_line(self) end
      return "", "longer than " .. self.length_max .. " bytes"
    end
    pieces[#pieces + 1] = sub(self.buffer, 1, (at or 0) - 1)
    if at then
      self.position = at + 1
      return table.concat(pieces)
    end
  end
end

--- The next line without its end; nil when there is none. A second value says why it is no good.
---@return string|nil
---@return string|nil reason
function Lines:next()
  local position = self.position
  local at = find(self.buffer, "\n", position, true)
  if at then
    self.position = at + 1
    self.number = self.number + 1
    return sub(self.buffer, position, at - 1)
  end
  local text, reason = long_line(self)
  if text then self.number = self.number + 1 end
  return text, reason
end

--- Goes on at an offset further on, where the line after `number` begins.
---@param offset integer
---@param number integer
---@return true|nil
---@return string|nil message
function Lines:skip_to(offset, number)
  local position = offset - self.base + 1
  if position > #self.buffer + 1 then
    local ok, message = self.source:skip_to(offset)
    if not ok then return nil, message end
    self.base, self.buffer, position = offset, "", 1
  end
  self.position, self.number = position, number
  return true
end

--- The lines of a source, from its beginning.
---@param source quickaudience.import.source
---@param length_max integer|nil
---@return quickaudience.import.lines
function M.new(source, length_max)
  local self = setmetatable({ source = source, base = 0, buffer = "", position = 1, number = 0,
    length_max = length_max or M.LENGTH_MAX }, metatable)
  -- What some editors put before the first line.
  if fill(self) and sub(self.buffer, 1, 3) == "\239\187\191" then self.position = 4 end
  return self
end

return M
