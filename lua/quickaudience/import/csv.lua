-- csv.lua
-- Reads comma-separated values as RFC 4180 has them, strictly: what is not clear is refused.
-- Does not know what the columns mean.
-- SPDX-License-Identifier: MIT
--
-- There are CSV readers for Lua, but none in Debian or Ubuntu, none that says at which byte a
-- record ends, which resuming needs, and none that goes on after a broken record. A broken record
-- costs its first line only: reading goes on with the next, so a stray quote cannot swallow a file.
local M = {}

-- Bytes and lines. A quoted field that does not end by then is taken for a stray quote.
local RECORD_MAX, RECORD_LINES_MAX = 1024 * 1024, 1000

local find, sub, byte = string.find, string.sub, string.byte
local QUOTE = 34

---@class quickaudience.import.csv
local Csv = {}
local metatable = { __index = Csv }

-- The fields of a text without quotes.
local function split(text, delimiter)
  local fields, count, position = {}, 0, 1
  while true do
    local at = find(text, delimiter, position, true)
    count = count + 1
    if not at then
      fields[count] = sub(text, position)
      return fields, count
    end
    fields[count] = sub(text, position, at - 1)
    position = at + 1
  end
end

-- A quoted field that begins at `position`: its text and where the delimiter, or the end, follows;
-- nil if it does not end; false and a reason if it is broken.
local function quoted(text, position, delimiter)
  local from = position + 1
  local at = from
  while true do
    at = find(text, '"', at, true)
    if not at then return nil end
    if byte(text, at + 1) ~= QUOTE then break end
    at = at + 2
  end
  local follows = sub(text, at + 1, at + 1)
  if follows ~= "" and follows ~= delimiter then
    return false, "text after a closing quote"
  end
  return (sub(text, from, at - 1):gsub('""', '"')), at + 1
end

--- The fields of a record: a list and its length; nil if a quoted field does not end; false and a
--- reason if it is broken.
---@param text string
---@param delimiter string one byte
function M.parse(text, delimiter)
  if not find(text, '"', 1, true) then return split(text, delimiter) end
  local fields, count, position = {}, 0, 1
  repeat
    local field, after
    if byte(text, position) == QUOTE then
      field, after = quoted(text, position, delimiter)
      if not field then return field, after end
    else
      after = find(text, delimiter, position, true) or #text + 1
      field = sub(text, position, after - 1)
      if find(field, '"', 1, true) then return false, "a quote inside a field without quotes" end
    end
    count = count + 1
    fields[count] = field
    position = after + 1
  until after > #text
  return fields, count
end

-- The next line, from what was read ahead or from the lines.
local function take(self)
  local ahead = self.ahead
  local item = ahead[self.ahead_first]
  if item then
    ahead[self.ahead_first] = nil
    self.ahead_first = self.ahead_first + 1
    return item
  end
  self.ahead, self.ahead_first = {}, 1
  local text, reason = self.lines:next()
  if not text then return nil end
  -- RFC 4180 ends lines with CR LF, most files with LF.
  if byte(text, -1) == 13 then text = sub(text, 1, -2) end
  return { text = text, reason = reason, number = self.lines.number, offset = self.lines:offset() }
end

local function put_back(self, items)
  for i = #items, 1, -1 do
    self.ahead_first = self.ahead_first - 1
    self.ahead[self.ahead_first] = items[i]
  end
end

-- A record that goes on over line ends.
local function several_lines(self, first)
  local more, text, reason = {}, first.text, "a quoted field does not end"
  while #more < RECORD_LINES_MAX and #text < RECORD_MAX do
    local item = take(self)
    if not item or item.reason then
      more[#more + 1] = item
      break
    end
    more[#more + 1] = item
    text = text .. "\n" .. item.text
    -- Only a line with a quote can end it.
    if find(item.text, '"', 1, true) then
      local fields, count = M.parse(text, self.delimiter)
      if fields then return fields, count, item, text end
      if fields == false then
        reason = count
        break
      end
    end
  end
  put_back(self, more)
  return false, reason
end

--- The next record's fields and how many they are; false and a reason if it is broken; nil when
--- there is none. Empty lines are passed over.
---@return string[]|false|nil
---@return integer|string|nil
function Csv:next()
  local again = self.again_fields
  if again then
    self.again_fields = nil
    return again, self.again_count
  end
  local first
  repeat first = take(self) until not first or first.text ~= "" or first.reason
  if not first then
    self.failure = self.lines.failure
    return nil
  end
  self.number, self.text, self.last = first.number, first.text, first
  if first.reason then return false, first.reason end
  local fields, count = M.parse(first.text, self.delimiter)
  if fields == nil then
    local last, text
    fields, count, last, text = several_lines(self, first)
    if fields then self.last, self.text = last, text end
  end
  return fields, count
end

--- Makes next() return a record once more.
function Csv:again(fields, count)
  self.again_fields, self.again_count = fields, count
end

--- Where the next record begins, in bytes of the source.
---@return integer
function Csv:offset()
  return self.last and self.last.offset or self.lines:offset()
end

--- How many lines were read.
---@return integer
function Csv:line()
  return self.last and self.last.number or self.lines.number
end

function Csv:skip_to(offset, number)
  self.again_fields = nil
  -- What was read ahead lies in the lines' past: they cannot go back, so it is looked through.
  while self.ahead[self.ahead_first] and self:offset() < offset do self.last = take(self) end
  if self:offset() == offset and self.last then return true end
  self.ahead, self.ahead_first, self.last = {}, 1, nil
  return self.lines:skip_to(offset, number)
end

--- The records of lines.
---@param lines quickaudience.import.lines
---@param delimiter string one byte
---@return quickaudience.import.csv
function M.new(lines, delimiter)
  return setmetatable({ lines = lines, delimiter = delimiter, ahead = {}, ahead_first = 1,
    number = 0, text = "" }, metatable)
end

return M
