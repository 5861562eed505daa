-- journal.lua
-- Which stretches of an input are done, in a file that survives a kill at any moment.
-- Does not know what is in the input.
-- SPDX-License-Identifier: MIT
--
-- The first line names the format and the input's fingerprint. Each further line is a stretch:
--   FROM TO LINES DELIVERED REFUSED REFUSED_BYTES
-- the bytes [FROM, TO) of the unpacked input, the number of its lines up to TO, what became of the
-- stretch's events, and how long the file of refused lines was then. A line is appended when the
-- service has answered for all events of the stretch, so nothing is ever marked too early; a line
-- that a kill cut off does not count. When the file has grown, it is written anew beside itself and
-- renamed.
local M = {}

local MAGIC = "quickaudience import journal 1"
local LINES_MORE = 4000 -- appended before it is written anew

---@class quickaudience.import.journal
---@field prefix integer bytes of the input that are done without a gap
---@field lines integer lines of that prefix
---@field delivered integer
---@field refused integer
---@field refused_bytes integer
local Journal = {}
local metatable = { __index = Journal }

-- Joins stretches to the prefix as far as they touch it. Those behind a gap wait: as many as were
-- under way at a time, at most.
local function fold(self)
  local next_one = self.apart[self.prefix]
  while next_one do
    self.apart[self.prefix] = nil
    self.prefix, self.lines = next_one.to, next_one.lines
    next_one = self.apart[self.prefix]
  end
end

local function count(self, record)
  self.delivered = self.delivered + record.delivered
  self.refused = self.refused + record.refused
  self.refused_bytes = record.refused_bytes
  if record.to > record.from then
    self.apart[record.from] = record
    fold(self)
  end
end

local FORMAT = "%.0f %.0f %.0f %.0f %.0f %.0f\n"

local function line_of(record)
  return string.format(FORMAT, record.from, record.to, record.lines, record.delivered,
    record.refused, record.refused_bytes)
end

local PATTERN = "^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$"

local function parse(line)
  local from, to, lines, delivered, refused, refused_bytes = line:match(PATTERN)
  if not from then return nil end
  return { from = tonumber(from), to = tonumber(to), lines = tonumber(lines),
    delivered = tonumber(delivered), refused = tonumber(refused),
    refused_bytes = tonumber(refused_bytes) }
end

-- All of it in the fewest lines: the prefix, then what lies apart. The sums stand in the first.
local function compact_text(self)
  local parts = { MAGIC .. " " .. self.fingerprint .. "\n", line_of {
    from = 0, to = self.prefix, lines = self.lines, delivered = self.delivered,
    refused = self.refused, refused_bytes = self.refused_bytes } }
  for _, record in pairs(self.apart) do
    parts[#parts + 1] = line_of { from = record.from, to = record.to, lines = record.lines,
      delivered = 0, refused = 0, refused_bytes = self.refused_bytes }
  end
  return table.concat(parts)
end

local function problem(self, message)
  return nil, "the journal " .. self.path .. " cannot be written: "
    .. tostring(message):gsub("^.*: ", "")
end

-- Writes it anew, and opens it for appending. A rename puts all of it there, or nothing.
local function rewrite(self)
  if self.file then self.file:close() end
  local beside = self.path .. ".new"
  local file, message = io.open(beside, "wb")
  if not file then return problem(self, message) end
  local text = compact_text(self)
  local ok
  ok, message = file:write(text)
  if ok then ok, message = file:close() else file:close() end
  if ok then ok, message = os.rename(beside, self.path) end
  if not ok then
    os.remove(beside)
    return problem(self, message)
  end
  self.room = LINES_MORE
  self.file, message = io.open(self.path, "ab")
  if not self.file then return problem(self, message) end
  return self
end

--- Notes a stretch that is done.
---@param record { from: integer, to: integer, lines: integer, delivered: integer,
---  refused: integer, refused_bytes: integer }
---@return true|nil
---@return string|nil message
function Journal:add(record)
  count(self, record)
  if self.room == 0 then
    local ok, message = rewrite(self)
    return ok and true, message
  end
  local ok, message = self.file:write(line_of(record))
  -- Out of this process, so that killing it takes nothing.
  if ok then ok, message = self.file:flush() end
  if not ok then return problem(self, message) end
  self.room = self.room - 1
  return true
end

--- The end of the stretch that is done and begins there.
---@param offset integer
---@return integer|nil to
---@return integer|nil lines
function Journal:done_from(offset)
  local record = self.apart[offset]
  if record then return record.to, record.lines end
end

--- Where the next stretch begins that is done, after an offset.
---@param offset integer
---@return integer|nil
function Journal:next_done(offset)
  local nearest
  for from in pairs(self.apart) do
    if from > offset and (not nearest or from < nearest) then nearest = from end
  end
  return nearest
end

function Journal:close()
  if self.file then self.file:close() end
  self.file = nil
end

local function read(self, file)
  local head = file:read("*l") or ""
  local magic, fingerprint = head:match("^(.*) (%S+)$")
  if magic ~= MAGIC then return nil, self.path .. ": is no journal of an import" end
  if fingerprint ~= self.fingerprint then
    return nil, self.path .. ": belongs to another input: the beginning differs"
  end
  local text = file:read(65536)
  local rest = ""
  while text do
    rest = rest .. text
    for line in rest:gmatch("([^\n]*)\n") do
      local record = parse(line)
      if not record then return nil, self.path .. ": is damaged: '" .. line:sub(1, 80) .. "'" end
      count(self, record)
    end
    rest = rest:match("[^\n]*$")
    text = file:read(65536)
  end
  return self
end

-- Lua cannot tell a device from a file, and a rename would put a file in the device's place.
local function is_other_than_file(path)
  local quoted = "'" .. path:gsub("'", "'\\''") .. "'"
  local result = os.execute("test -e " .. quoted .. " -a ! -f " .. quoted)
  return result == true or result == 0
end

--- Whether there is a journal.
---@param path string
---@return boolean
function M.exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

--- Begins a journal, or goes on with one.
---@param path string
---@param fingerprint string of the input
---@param resume boolean go on with what is there
---@param refused_bytes integer|nil how long the file of refused lines is, of a new journal
---@return quickaudience.import.journal|nil
---@return string|nil message
function M.open(path, fingerprint, resume, refused_bytes)
  local self = setmetatable({ path = path, fingerprint = fingerprint, prefix = 0, lines = 0,
    delivered = 0, refused = 0, refused_bytes = refused_bytes or 0, apart = {}, room = 0 },
    metatable)
  if is_other_than_file(path) then return nil, path .. ": is no regular file" end
  local file = resume and io.open(path, "rb")
  if file then
    local ok, message = read(self, file)
    file:close()
    if not ok then return nil, message end
  end
  return rewrite(self)
end

return M
