-- source.lua
-- The bytes of an import: a file or standard input, as they are or unpacked from gzip.
-- Does not know lines.
-- SPDX-License-Identifier: MIT
local M = {}

-- Bytes. Packed input is unpacked in small pieces, because each can grow a thousandfold.
local BLOCK, PACKED_BLOCK = 64 * 1024, 8 * 1024
local HEAD = 4096
local GZIP = "\31\139"

local ZLIB_MISSING = "is packed with gzip, and the Lua module 'zlib' is missing (Debian, Ubuntu: "
  .. "apt-get install lua-zlib; elsewhere: luarocks install lua-zlib)"

---@class quickaudience.import.source
---@field size integer|nil bytes of the file as it lies there; nil if that cannot be known
---@field taken integer bytes of it that were read
local Source = {}
local metatable = { __index = Source }

local function reason_of(message)
  return (tostring(message):gsub("^.*: ", ""))
end

-- The next bytes of the file as it lies there; nil at the end, or nil and a message.
local function read_raw(self, length)
  local block = self.held
  if block then
    self.held = nil
    return block
  end
  local message
  block, message = self.file:read(length)
  if block then
    self.taken = self.taken + #block
  elseif message then
    return nil, "cannot be read: " .. reason_of(message)
  end
  return block
end

-- A gzip file may be several, one behind the other.
local function inflate(self, packed)
  local parts = {}
  while packed ~= "" do
    self.inflater = self.inflater or self.zlib.inflate()
    local before = self.member_bytes
    local ok, out, ended, taken = pcall(self.inflater, packed)
    if not ok then return nil, "gzip: the file is damaged; 'gzip -t' tells more" end
    parts[#parts + 1] = out
    if not ended then
      self.member_bytes = before + #packed
      break
    end
    packed = packed:sub(taken - before + 1)
    self.inflater, self.member_bytes = nil, 0
    -- Some tools fill the end with zeros, which are no further member.
    if not packed:find("[^%z]") then packed = "" end
  end
  return table.concat(parts)
end

local function read_packed(self)
  while true do
    local packed, message = read_raw(self, PACKED_BLOCK)
    if message then return nil, message end
    if not packed then
      if self.inflater then return nil, "gzip: the file is cut off" end
      return nil
    end
    local out
    out, message = inflate(self, packed)
    if not out then return nil, message end
    if out ~= "" then return out end
  end
end

--- The next bytes; nil at the end, or nil and what went wrong.
---@return string|nil
---@return string|nil message
function Source:read()
  local block, message = self.ahead, nil
  if block then
    self.ahead = nil
  elseif self.zlib then
    block, message = read_packed(self)
  else
    block, message = read_raw(self, BLOCK)
  end
  if block then self.offset = self.offset + #block end
  return block, message
end

--- A number that tells this input from another: made of its first bytes.
---@return string|nil
---@return string|nil message
function Source:fingerprint()
  local block, message = self:read()
  if message then return nil, message end
  block = block or ""
  self.ahead, self.offset = block, self.offset - #block
  local sum, count = 7, math.min(#block, HEAD)
  for i = 1, count do sum = (sum * 31 + block:byte(i)) % 4294967296 end
  return string.format("%.0f.%d", sum, count)
end

--- Goes on at a byte of the unpacked input that was not read yet.
---@param offset integer
---@return true|nil
---@return string|nil message
function Source:skip_to(offset)
  if self.size and not self.zlib then
    if offset > self.size then return nil, "is shorter than it was" end
    self.ahead, self.held = nil, nil
    local ok, message = self.file:seek("set", offset)
    if not ok then return nil, "cannot be read: " .. reason_of(message) end
    self.offset, self.taken = offset, offset
    return true
  end
  while self.offset < offset do
    local block, message = self:read()
    if not block then return nil, message or "is shorter than it was" end
    if self.offset > offset then
      self.ahead = block:sub(#block - (self.offset - offset) + 1)
      self.offset = offset
    end
  end
  return true
end

function Source:close()
  if self.owned then self.file:close() end
end

local function size_of(file)
  local size = file:seek("end")
  -- A pipe has none, and a device may say anything.
  if not size or not file:seek("set", 0) or size <= 0 then return nil end
  return size
end

--- Opens an input.
---@param path string "-" for standard input
---@param stdin file*
---@return quickaudience.import.source|nil
---@return string|nil message
function M.open(path, stdin)
  local file, message = stdin, nil
  if path ~= "-" then file, message = io.open(path, "rb") end
  if not file then return nil, "cannot be opened: " .. reason_of(message) end
  local self = setmetatable({ file = file, owned = path ~= "-", taken = 0, offset = 0,
    member_bytes = 0 }, metatable)
  if self.owned then self.size = size_of(file) end
  local block
  block, message = read_raw(self, PACKED_BLOCK)
  if message then
    self:close()
    return nil, message
  end
  self.held = block
  if block and block:sub(1, 2) == GZIP then
    local found, zlib = pcall(require, "zlib")
    if not found then
      self:close()
      return nil, ZLIB_MISSING
    end
    self.zlib = zlib
  end
  return self
end

return M
