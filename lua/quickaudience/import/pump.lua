-- pump.lua
-- Delivers stretches of events, several at a time, and tells when all events of one have ended.
-- Does not know files, lines or journals.
-- SPDX-License-Identifier: MIT
--
-- Each stretch is reported through a client of its own, because a delivery report counts events but
-- does not name them: when one client's reports add up to what it accepted, its stretch is done.
-- Equal clients share one sender, so this costs neither threads nor connections, and retries,
-- pauses and the taking apart of rejected batches are the sender's.
local cjson = require "cjson"
local core = require "quickaudience.core"

local M = {}

local LANES_PER_REQUEST, LANES_MAX = 4, 64
local SLICE = 0.02 -- seconds to wait for the oldest stretch before looking at the others
local LETTERS_MAX = 1000 -- as many as a sender keeps

---@class quickaudience.import.pump
local Pump = {}
local metatable = { __index = Pump }

-- ---- which line a dead letter was ------------------------------------------------------------

-- Whether all of `part` is in `whole` too.
local function contains(whole, part)
  if type(part) ~= "table" or type(whole) ~= "table" then return whole == part end
  for name, value in pairs(part) do
    if not contains(whole[name], value) then return false end
  end
  return true
end

-- Dead letters hold the event as it was sent: the line's, and what the configuration added.
local function take_letters(self)
  local client = self.lanes[1].client
  local stats = client:stats().dead_letters
  local first = stats.evicted + 1
  local list = client:dead(LETTERS_MAX)
  for i = math.max(1, self.letters_seen - first + 2), #list do
    local letter = list[i]
    letter.event = cjson.decode(letter.event)
    self.letters[#self.letters + 1] = letter
  end
  self.letters_seen = math.max(self.letters_seen, first + #list - 1)
end

local function wire_of(event)
  local text = core.encode(event)
  if not text then return nil end
  local wire = cjson.decode(text)
  -- Made up at each encoding, where the event has none.
  if event.event_time == nil and event.eventTime == nil then wire.eventTime = nil end
  return wire
end

local function letter_of(self, wire)
  for i, letter in ipairs(self.letters) do
    if contains(letter.event, wire) then return table.remove(self.letters, i) end
  end
end

local function name_dead(self, stretch)
  take_letters(self)
  local left = stretch.dead
  for i = 1, stretch.accepted do
    if left == 0 then break end
    local event = self.event_of(stretch.texts[i])
    local wire = event and wire_of(event)
    local letter = wire and letter_of(self, wire)
    if letter then
      left = left - 1
      stretch.refused[#stretch.refused + 1] = { line = stretch.numbers[i],
        reason = letter.message or "refused by the service", text = stretch.texts[i] }
    end
  end
  for _ = 1, left do
    local text = string.format("one of the lines %d to %d: %s",
      stretch.numbers[1],
      stretch.numbers[stretch.accepted], stretch.dead_reason)
    stretch.refused[#stretch.refused + 1] = { reason = text }
  end
end

-- ---- stretches -------------------------------------------------------------------------------

local function count(stretch, report)
  stretch.ended = stretch.ended + report.events
  if report.status == "delivered" then
    stretch.delivered = stretch.delivered + report.events
  elseif report.status == "dead" then
    stretch.dead = stretch.dead + report.events
    stretch.dead_reason = report.message
  else
    stretch.dropped = stretch.dropped + report.events
    stretch.dropped_reason = report.message
  end
end
-- Not client:poll(), which would take Ctrl-C, an error, for one of the callback's and lose count.
local function take_reports(lane)
  local report = lane.client:_take_report()
  while report do
    count(lane.stretch, report)
    report = lane.client:_take_report()
  end
end

local function keep_reports() end

-- Hands over what has ended: true if something has.
local function collect(self)
  local some, flying, i = false, self.flying, 1
  while flying[i] do
    local lane = flying[i]
    local stretch = lane.stretch
    take_reports(lane)
    if stretch.ended < stretch.accepted then
      i = i + 1
    else
      some = true
      if stretch.dead > 0 then name_dead(self, stretch) end
      self.on_done(stretch)
      table.remove(flying, i)
      lane.stretch = nil
      self.free[#self.free + 1] = lane
    end
  end
  return some
end

-- Waits for the oldest stretch, a moment at most.
local function wait(self)
  local lane = self.flying[1]
  if lane.stretch.accepted > 0 then lane.client:_flush_wait(lane.mark, SLICE) end
  if not collect(self) then self.on_wait(self.lanes[1].client) end
end

local function begin(self)
  while #self.free == 0 do wait(self) end
  local lane = table.remove(self.free)
  lane.stretch = { accepted = 0, ended = 0, delivered = 0, dead = 0, dropped = 0, refused = {},
    texts = {}, numbers = {} }
  self.open = lane
  return lane
end

--- Takes an event into the open stretch.
---@param event table
---@param text string what its line holds
---@param number integer its line
---@return true|nil
---@return string|nil message
---@return string|nil code
function Pump:add(event, text, number)
  local lane = self.open or begin(self)
  local ok, message, code = lane.client:report(event)
  if not ok then return nil, message, code end
  local stretch = lane.stretch
  local at = stretch.accepted + 1
  stretch.accepted, stretch.texts[at], stretch.numbers[at] = at, text, number
  return true
end

--- Notes a line of the open stretch that was refused before it became an event.
function Pump:refuse(number, reason, text)
  local refused = (self.open or begin(self)).stretch.refused
  refused[#refused + 1] = { line = number, reason = reason, text = text }
end

--- Ends the open stretch; on_done gets it, with these marks, when all its events have ended.
---@param marks table<string, any>
function Pump:cut(marks)
  local lane = self.open or begin(self)
  self.open = nil
  for name, value in pairs(marks) do lane.stretch[name] = value end
  if lane.stretch.accepted > 0 then lane.mark = lane.client:_flush_begin() end
  self.flying[#self.flying + 1] = lane
  collect(self)
end

--- Makes room in the queue; false if nothing is under way.
---@return boolean
function Pump:make_room()
  if #self.flying > 0 then
    wait(self)
    return true
  end
  -- The queue is smaller than a stretch: what of the open one is in it goes out early.
  local lane = self.open
  local stretch = lane and lane.stretch
  if not stretch or stretch.ended >= stretch.accepted then return false end
  lane.client:_flush_wait(lane.client:_flush_begin(), SLICE)
  take_reports(lane)
  return true
end

--- Waits until all stretches that were cut are done.
---@param seconds number|nil nil: as long as it takes, which the delivery deadline bounds
---@return boolean
function Pump:drain(seconds)
  local until_time = seconds and os.time() + seconds
  while #self.flying > 0 do
    if until_time and os.time() > until_time then return false end
    wait(self)
  end
  return true
end

--- Asks the service whether it accepts the configuration.
function Pump:check()
  return self.lanes[1].client:check()
end

--- Ends all of it; what is under way is given up.
function Pump:close()
  for _, lane in ipairs(self.lanes) do
    lane.stretch = nil
    lane.client:close(0)
  end
end

--- A pump.
---@param settings table a client's configuration
---@param hooks { on_done: fun(stretch: table), on_wait: fun(client: table),
---  event_of: fun(text: string): table|nil }
---@return quickaudience.import.pump|nil
---@return string|nil message
function M.new(settings, hooks)
  local quickaudience = require "quickaudience"
  local self = setmetatable({ lanes = {}, free = {}, flying = {}, letters = {}, letters_seen = 0,
    on_done = hooks.on_done, on_wait = hooks.on_wait, event_of = hooks.event_of }, metatable)
  local given = { on_delivery = keep_reports }
  for name, value in pairs(settings) do given[name] = value end
  local in_flight = tonumber(settings.max_in_flight) or 4
  for i = 1, math.max(2, math.min(LANES_MAX, in_flight * LANES_PER_REQUEST)) do
    local client, message = quickaudience.new(given)
    if not client then return nil, message end
    local lane = { client = client }
    self.lanes[i], self.free[i] = lane, lane
  end
  return self
end

return M
