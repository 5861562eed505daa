-- progress.lua
-- A line on the terminal that says how far an import is: bar, rate, time left, refused lines.
-- Does not know what is imported.
-- SPDX-License-Identifier: MIT
local M = {}

local BAR = 20
local WIDTH = 79

---@class quickaudience.import.progress
local Progress = {}
local metatable = { __index = Progress }

--- 1234567 as 1,234,567.
---@param number number
---@return string
function M.grouped(number)
  local text = string.format("%.0f", number)
  local count
  repeat text, count = text:gsub("^(%d+)(%d%d%d)", "%1,%2") until count == 0
  return text
end

--- 3725 as 1:02:05.
---@param seconds number
---@return string
function M.clock(seconds)
  seconds = math.floor(seconds + 0.5)
  local minutes = math.floor(seconds / 60)
  if minutes < 60 then return string.format("%d:%02d", minutes, seconds % 60) end
  return string.format("%d:%02d:%02d", math.floor(minutes / 60), minutes % 60, seconds % 60)
end

--- The line for a state of the import.
---@param state { lines: integer, begun_at: integer, refused: integer, taken: integer,
---  taken_before: integer, size: integer|nil, seconds: number }
---@return string
function M.line(state)
  local parts = {}
  if state.size and state.size > 0 then
    local share = math.min(1, state.taken / state.size)
    local filled = math.floor(share * BAR)
    parts[1] = string.format("[%s%s] %3d%%", ("#"):rep(filled), ("."):rep(BAR - filled),
      math.floor(share * 100))
  end
  parts[#parts + 1] = M.grouped(state.lines) .. " lines"
  if state.seconds > 0 then
    parts[#parts + 1] = M.grouped((state.lines - state.begun_at) / state.seconds) .. "/s"
    local speed = (state.taken - state.taken_before) / state.seconds
    if state.size and speed > 0 then
      parts[#parts + 1] = "ETA " .. M.clock(math.max(0, state.size - state.taken) / speed)
    end
  end
  parts[#parts + 1] = M.grouped(state.refused) .. " refused"
  return table.concat(parts, "  ")
end

--- Shows a state, at most once a second. Nothing without a terminal.
function Progress:show(state)
  if not self.stream then return end
  local now = self.time()
  if now == self.shown_at then return end
  self.shown_at = now
  state.seconds = now - self.started
  local text = M.line(state):sub(1, WIDTH)
  self.stream:write("\r", text, (" "):rep(math.max(0, self.width - #text)))
  self.stream:flush()
  self.width = #text
end

--- Takes the line away, so that something else can be written.
function Progress:clear()
  if self.width == 0 then return end
  self.stream:write("\r", (" "):rep(self.width), "\r")
  self.stream:flush()
  self.width, self.shown_at = 0, nil
end

--- A progress line.
---@param stream file*|nil nil: nothing is shown
---@param time fun(): integer|nil os.time if nil
---@return quickaudience.import.progress
function M.new(stream, time)
  time = time or os.time
  return setmetatable({ stream = stream, time = time, started = time(), width = 0 }, metatable)
end

return M
