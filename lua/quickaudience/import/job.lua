-- job.lua
-- Imports one input: reads its records, delivers them in stretches, keeps the journal.
-- Does not know flags, nor what a person is shown.
-- SPDX-License-Identifier: MIT
local core = require "quickaudience.core"
local csv = require "quickaudience.import.csv"
local journal = require "quickaudience.import.journal"
local lines = require "quickaudience.import.lines"
local mapping = require "quickaudience.import.mapping"
local ndjson = require "quickaudience.import.ndjson"
local pump = require "quickaudience.import.pump"
local refused = require "quickaudience.import.refused"
local source = require "quickaudience.import.source"

local M = {}

local STRETCH_BYTES = 4 * 1024 * 1024 -- of input; keeps the memory small where lines are long
local STRETCH_REFUSED = 1000 -- lines, because a stretch remembers them
local LOOK_EVERY = 8 -- lines; divides STRETCH_REFUSED

---@class quickaudience.import.options
---@field path string "-" for standard input
---@field stdin file*
---@field format "ndjson"|"csv"
---@field delimiter string
---@field header boolean whether the first record of a CSV file names the columns
---@field columns table<string, string>
---@field defaults (fun(event: table))|nil
---@field journal string|nil
---@field resume boolean
---@field refused string|nil
---@field settings table|nil of a client; nil: every line is only checked
---@field on_progress fun(job: table)
---@field on_wait fun(client: table)

---@class quickaudience.import.job
---@field delivered integer
---@field refused_count integer
---@field first_refused table[] the first few, for those who keep no file
local Job = {}
local metatable = { __index = Job }

local FIRST_REFUSED = 5

-- ---- reading ---------------------------------------------------------------------------------

local function numbers_to(count)
  local list = {}
  for i = 1, count do list[i] = tostring(i) end
  return list
end

-- The reader of a CSV file, behind its header, and how a record becomes an event.
local function open_csv(options, input)
  local reader = csv.new(lines.new(input), options.delimiter)
  local names, count = reader:next()
  if names == false then return nil, "line 1: " .. count end
  if not names then return nil, reader.failure or "is empty" end
  if not options.header then
    reader:again(names, count)
    names = numbers_to(count)
  end
  local targets, message = mapping.columns(names, options.columns)
  if not targets then return nil, message end
  return reader, targets
end

local function csv_event(targets)
  return function(fields, count)
    return mapping.event(targets, fields, count)
  end
end

local function itself(event)
  return event
end

-- Opens the input, finds its fingerprint and makes its reader.
local function open_input(self)
  local options = self.options
  local input, message = source.open(options.path, options.stdin)
  if not input then return nil, message end
  self.source = input
  self.fingerprint, message = input:fingerprint()
  if not self.fingerprint then return nil, message end
  if options.format == "ndjson" then
    self.reader, self.to_event = ndjson.new(lines.new(input)), itself
    return true
  end
  local reader, targets = open_csv(options, input)
  if not reader then return nil, targets end
  self.reader, self.to_event = reader, csv_event(targets)
  return true
end

-- ---- one line --------------------------------------------------------------------------------

local function refuse(self, reason)
  self.pump:refuse(self.reader.number, reason, self.reader.text)
  self.in_stretch_refused = self.in_stretch_refused + 1
end

-- Ends the open stretch where the reader stands.
local function cut(self)
  local to = self.reader:offset()
  self.pump:cut { from = self.stretch_from, to = to, lines = self.reader:line() }
  self.stretch_from, self.in_stretch, self.in_stretch_refused = to, 0, 0
  self.options.on_progress(self)
end

local function add(self, event)
  local reader, delivery = self.reader, self.pump
  local ok, message, code = delivery:add(event, reader.text, reader.number)
  if not ok and code == "INVALID_EVENT" and message:find("got null", 1, true)
    and mapping.drop_nulls(event) then
    ok, message, code = delivery:add(event, reader.text, reader.number)
  end
  while not ok and code == "QUEUE_FULL" and delivery:make_room() do
    ok, message, code = delivery:add(event, reader.text, reader.number)
  end
  if ok then
    self.in_stretch = self.in_stretch + 1
  elseif code == "INVALID_EVENT" then
    refuse(self, message)
  else
    error({ message = message, code = code }, 0)
  end
end

-- Steps over a stretch that an earlier run has done, where one begins.
local function skip_done(self)
  local book = self.journal
  while true do
    local to, count = book:done_from(self.stretch_from)
    -- The answer for what lay before may have come already, and joined it to the prefix.
    if not to and book.prefix > self.stretch_from then to, count = book.prefix, book.lines end
    if not to then break end
    local ok, message = self.reader:skip_to(to, count)
    if not ok then error({ message = message }, 0) end
    self.stretch_from = to
  end
  self.stop_at = book:next_done(self.stretch_from) or math.huge
end

-- The bytes are looked at now and then only, unless an offset has to be met.
local function stretch_is_full(self)
  local count = self.in_stretch + self.in_stretch_refused
  if self.in_stretch >= self.stretch_events then return true end
  if count % LOOK_EVERY ~= 0 and self.stop_at == math.huge then return false end
  local offset = self.reader:offset()
  return self.in_stretch_refused >= STRETCH_REFUSED
    or offset - self.stretch_from >= STRETCH_BYTES
    or offset >= self.stop_at
end

local function read_all(self)
  local reader, to_event, defaults = self.reader, self.to_event, self.options.defaults
  while true do
    local record, extra = reader:next()
    if record then
      local event, reason = to_event(record, extra)
      if event then
        if defaults then defaults(event) end
        add(self, event)
      else
        refuse(self, reason)
      end
    elseif record == false then
      refuse(self, extra)
    else
      break
    end
    if stretch_is_full(self) then
      cut(self)
      if self.stop_at < math.huge then skip_done(self) end
      if self.failure then return end
    end
  end
  if self.reader:offset() > self.stretch_from then cut(self) end
  if reader.failure then error({ message = reader.failure }, 0) end
end

-- ---- what has ended --------------------------------------------------------------------------

local function remember_refused(self, list)
  for _, item in ipairs(list) do
    if #self.first_refused == FIRST_REFUSED then break end
    self.first_refused[#self.first_refused + 1] = item
  end
end

local function on_done(self, stretch)
  if stretch.dropped > 0 then
    self.failure = self.failure or stretch.dropped_reason
    return
  end
  local ok, message = true, nil
  if self.refused_file then ok, message = self.refused_file:add(stretch.refused) end
  if not ok then
    self.failure = self.failure or message
    return
  end
  self.delivered = self.delivered + stretch.delivered
  self.refused_count = self.refused_count + #stretch.refused
  self.lines_done = math.max(self.lines_done, stretch.lines)
  remember_refused(self, stretch.refused)
  if not self.journal then return end
  ok, message = self.journal:add { from = stretch.from, to = stretch.to, lines = stretch.lines,
    delivered = stretch.delivered, refused = #stretch.refused,
    refused_bytes = self.refused_file and self.refused_file.bytes or 0 }
  if not ok then self.failure = self.failure or message end
  -- What an earlier run had done behind a gap counts once the gap is closed.
  self.lines_done = math.max(self.lines_done, self.journal.lines)
end

-- ---- a pump that only checks -----------------------------------------------------------------

local Checker = {}

function Checker:add(event)
  local ok, message, code = core.validate(event)
  if not ok then return nil, message, code end
  self.accepted = self.accepted + 1
  return true
end

function Checker:refuse(number, reason, text)
  self.refused[#self.refused + 1] = { line = number, reason = reason, text = text }
end

function Checker:cut(marks)
  self.on_done { delivered = self.accepted, refused = self.refused, dropped = 0, from = marks.from,
    to = marks.to, lines = marks.lines }
  self.accepted, self.refused = 0, {}
end

function Checker.drain()
  return true
end

function Checker.close() end

-- ---- the whole -------------------------------------------------------------------------------

-- An event from a line's text alone: to find which line a refused event was.
local function event_of(self)
  local options = self.options
  return function(text)
    local one
    if options.format == "csv" then
      local fields, count = csv.parse(text, options.delimiter)
      one = fields and self.to_event(fields, count)
    else
      one = ndjson.parse(text)
    end
    if not one then return nil end
    if options.defaults then options.defaults(one) end
    mapping.drop_nulls(one)
    return one
  end
end

local function open_pump(self)
  local function done(stretch) on_done(self, stretch) end
  if not self.options.settings then
    self.pump = setmetatable({ accepted = 0, refused = {}, on_done = done }, { __index = Checker })
    return true
  end
  local message
  self.pump, message = pump.new(self.options.settings, { on_done = done,
    on_wait = self.options.on_wait, event_of = event_of(self) })
  return self.pump and true, message
end

local function open_books(self)
  local options = self.options
  local start = options.refused and refused.size(options.refused) or 0
  local message
  if options.journal then
    self.journal, message = journal.open(options.journal, self.fingerprint, options.resume, start)
    if not self.journal then return nil, message end
    start = self.journal.refused_bytes
    self.delivered, self.refused_count = self.journal.delivered, self.journal.refused
    self.lines_done = self.journal.lines
    if self.journal.prefix > 0 then
      local ok
      ok, message = self.reader:skip_to(self.journal.prefix, self.journal.lines)
      if not ok then return nil, message end
      self.stretch_from = self.journal.prefix
    end
    skip_done(self)
    self.lines_before, self.taken_before = self.lines_done, self.source.taken
  end
  if options.refused then
    self.refused_file, message = refused.open(options.refused, start)
    if not self.refused_file then return nil, message end
  end
  return true
end

--- Opens everything; nothing is sent yet.
---@return true|nil
---@return string|nil message
function Job:open()
  local ok, message = open_input(self)
  if ok then ok, message = open_books(self) end
  if ok then ok, message = open_pump(self) end
  return ok, message
end

-- Ctrl-C is an error that Lua raises between two instructions.
local function is_interrupt(problem)
  return type(problem) == "string" and problem:find("interrupted!", 1, true) ~= nil
end

--- Reads and delivers all of it.
---@param grace number seconds for what is under way, after Ctrl-C
---@return true|nil
---@return string|nil message
---@return string|nil code
function Job:run(grace)
  local ok, problem = pcall(function()
    read_all(self)
    self.pump:drain()
  end)
  if not ok then
    -- What is under way gets its answer, so that it need not be sent again.
    local drained, again = pcall(self.pump.drain, self.pump, grace)
    if not drained and not is_interrupt(again) then problem = again end
  end
  if is_interrupt(problem) then return nil, "interrupted", "INTERRUPTED" end
  if not ok and type(problem) == "table" then return nil, problem.message, problem.code end
  if not ok then return nil, tostring(problem) end
  if self.failure then return nil, self.failure end
  return true
end

function Job:close()
  if self.pump then self.pump:close() end
  if self.journal then self.journal:close() end
  if self.refused_file then self.refused_file:close() end
  if self.source then self.source:close() end
end

--- A job.
---@param options quickaudience.import.options
---@return quickaudience.import.job
function M.new(options)
  local settings = options.settings or {}
  return setmetatable({ options = options, delivered = 0, refused_count = 0, lines_done = 0,
    lines_before = 0, taken_before = 0, first_refused = {}, stretch_from = 0, in_stretch = 0,
    in_stretch_refused = 0, stop_at = math.huge,
    stretch_events = tonumber(settings.batch_events) or 200 }, metatable)
end

return M
