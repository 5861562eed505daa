-- refused.lua
-- The file of lines that were refused: number, reason and text of each, as one JSON object a line.
-- Does not know who refused them.
-- SPDX-License-Identifier: MIT
local cjson = require "cjson"

local M = {}

local BLOCK = 64 * 1024
local TEXT_MAX = 1024 * 1024 -- bytes of a line that are kept

---@class quickaudience.import.refused
---@field bytes integer how long the file is
local Refused = {}
local metatable = { __index = Refused }

local function problem(path, message)
  return nil, "the file of refused lines " .. path .. " cannot be written: "
    .. tostring(message):gsub("^.*: ", "")
end

--- How long a file is; 0 if there is none.
---@param path string
---@return integer
function M.size(path)
  local file = io.open(path, "rb")
  local size = file and file:seek("end") or 0
  if file then file:close() end
  return size
end

-- Leaves only the first `bytes`: what stands behind was written for stretches that come again.
local function cut(path, bytes)
  local from = io.open(path, "rb")
  if not from then return true end
  local to, message = io.open(path .. ".new", "wb")
  if not to then
    from:close()
    return problem(path .. ".new", message)
  end
  local left, ok = bytes, true
  while ok and left > 0 do
    local block = from:read(math.min(left, BLOCK))
    if not block then break end
    ok, message = to:write(block)
    left = left - #block
  end
  from:close()
  if ok then ok, message = to:close() else to:close() end
  if ok then ok, message = os.rename(path .. ".new", path) end
  if not ok then return problem(path, message) end
  return true
end

--- The file, of which the first `bytes` count. It is made when there is something to write.
---@param path string
---@param bytes integer
---@return quickaudience.import.refused|nil
---@return string|nil message
function M.open(path, bytes)
  if M.size(path) > bytes then
    local ok, message = cut(path, bytes)
    if not ok then return nil, message end
  end
  return setmetatable({ path = path, bytes = bytes }, metatable)
end

--- Writes lines, out of this process.
---@param list { line: integer|nil, reason: string, text: string|nil }[]
---@return true|nil
---@return string|nil message
function Refused:add(list)
  if #list == 0 then return true end
  local message
  if not self.file then
    self.file, message = io.open(self.path, "ab")
    if not self.file then return problem(self.path, message) end
  end
  local parts = {}
  for i, item in ipairs(list) do
    parts[i] = cjson.encode { line = item.line, reason = item.reason,
      text = item.text and item.text:sub(1, TEXT_MAX) } .. "\n"
  end
  local text = table.concat(parts)
  local ok
  ok, message = self.file:write(text)
  if ok then ok, message = self.file:flush() end
  if not ok then return problem(self.path, message) end
  self.bytes = self.bytes + #text
  return true
end

function Refused:close()
  if self.file then self.file:close() end
  self.file = nil
end

return M
