--- client.lua
-- What a client does on the caller's thread: waiting, delivery reports, figures, credentials.
-- Does not know how events are encoded, queued or delivered.
-- SPDX-License-Identifier: MIT
local config = require "quickaudience.config"
local core = require "quickaudience.core"
local prometheus = require "quickaudience.prometheus"
local wait = require "quickaudience.wait"

-- More than can wait at once, so a poll ends even where reports come faster than they are handled.
local POLL_MAX = 20000

---@class quickaudience.client
local methods = core.methods

---@class quickaudience.batch
local batch_methods = core.batch_methods

---@class quickaudience.answer
---@field trace_id string|nil the service's id of the call
---@field http_status integer|nil
---@field clock_offset number seconds that the service's clock is ahead of this one
---@field verified boolean over TLS with the service's certificate verified
---@field dns number|nil seconds; as the next three, nil where the stage was not needed
---@field connect number|nil
---@field tls number|nil
---@field total number|nil
---@field retriable boolean|nil of a failure: whether the same call can succeed later
---@field possibly_stored boolean|nil of a failure: whether the service may have stored the events
---@field service_code string|nil of a failure: the service's error code

local function check_argument(ok, call, what, value)
  if not ok then
    error(string.format("bad argument #1 to '%s' (expected %s, got %s)", call, what,
      type(value) == "number" and tostring(value) or type(value)), 3)
  end
end

local function is_duration(value)
  return type(value) == "number" and value >= 0
end

local function check_seconds(call, seconds)
  if seconds ~= nil and not is_duration(seconds) then
    error(string.format("bad argument #1 to '%s' (expected seconds, 0 or more, got %s)", call,
      type(seconds) == "number" and tostring(seconds) or type(seconds)), 3)
  end
end

local function check_open(self)
  if self:_is_closed() then error("the client is closed", 3) end
end

-- The answer of a request that was started, or why it was not.
local function answer(how, ticket, message, code)
  if not ticket then return nil, message, code end
  wait.wait(how, function() return ticket:done() end,
    function(seconds) return ticket:wait(seconds) end)
  return ticket:result()
end

--- Sends events in one request, and waits for the service's answer.
--- A batch that was sent is empty afterwards; it must not be changed meanwhile.
---@param events table|quickaudience.batch an event, a list of them, or a batch
---@return quickaudience.answer|nil
---@return string|nil message
---@return string|nil code
---@return quickaudience.answer|nil details of the failure, when a request was made
function methods:send(events)
  check_open(self)
  local how, message, code = wait.how("send", "use report()")
  if not how then return nil, message, code end
  local result, details
  result, message, code, details = answer(how, self:_send_start(events))
  if not result then return nil, message, code, details end
  if type(events) == "userdata" then events:clear() end
  return result
end

--- Sends the batch's events in one request, as client:send does.
---@return quickaudience.answer|nil
---@return string|nil message
---@return string|nil code
---@return quickaudience.answer|nil details
function batch_methods:send()
  return self:_client():send(self)
end

--- Asks the service whether it accepts the configuration, by sending an empty list.
---@return quickaudience.answer|nil
---@return string|nil message
---@return string|nil code
---@return quickaudience.answer|nil details
function methods:check()
  check_open(self)
  local how, message, code = wait.how("check")
  if not how then return nil, message, code end
  return answer(how, self:_check_start())
end

-- Hands one report over. The report counts as handed over even if the function raises.
local function deliver(private, report)
  if not private.on_delivery then return nil end
  local ok, message = pcall(private.on_delivery, report)
  if ok then return nil end
  message = tostring(message)
  private.on_delivery_errors = private.on_delivery_errors + 1
  private.on_delivery_error = message
  return message
end

local function poll(self, max)
  local private = self:_private()
  local count, first = 0, nil
  while count < max do
    local report = self:_take_report()
    if not report then break end
    count = count + 1
    first = deliver(private, report) or first
  end
  return count, first
end

--- Hands the delivery reports that wait to on_delivery; works on a closed client too.
---@param max integer|nil reports to hand over at most
---@return integer count
---@return string|nil message of an error that on_delivery raised; all reports were handed over
function methods:poll(max)
  check_argument(max == nil or is_duration(max), "poll", "a count", max)
  local count, message = poll(self, max or POLL_MAX)
  if message then return count, message end
  return count
end

-- What keeps delivery back, after a message that tells how many are left.
local function explained(self, message)
  local why = self:_stats().reason_message
  return why and message .. "; " .. why or message
end

--- Delivers everything accepted so far, at once, and waits until all of it has ended.
---@param seconds number|nil nil: as long as it takes, which delivery_deadline bounds
---@return true|nil
---@return string|nil message
---@return string|nil code
---@return integer|nil remaining events
function methods:flush(seconds)
  check_seconds("flush", seconds)
  check_open(self)
  local how, message, code = "block", nil, nil
  if seconds ~= 0 then how, message, code = wait.how("flush") end
  if not how then return nil, message, code end
  local mark = self:_flush_begin()
  local done = wait.wait(how, function() return self:_flush_done(mark) end,
    function(slice) return self:_flush_wait(mark, slice) end, seconds)
  poll(self, POLL_MAX)
  if done then return true end
  local remaining
  done, message, code, remaining = self:_flush_wait(mark, 0)
  if done then return true end
  return nil, explained(self, message), code, remaining
end

--- Delivers what is left, for at most `seconds`, and ends the client. What is left then is dropped
--- and reported. A closed client stays closed.
---@param seconds number|nil nil: close_timeout
---@return true|nil
---@return string|nil message
---@return string|nil code
---@return integer|nil remaining events
function methods:close(seconds)
  check_seconds("close", seconds)
  if self:_is_closed() then return true end
  seconds = seconds or self:_private().close_timeout
  local how, message, code = "block", nil, nil
  if seconds ~= 0 then how, message, code = wait.how("close") end
  if not how then return nil, message, code end
  if seconds > 0 then
    -- Waits out here, not in _close, so that nginx goes on serving and Ctrl-C ends a script.
    local mark = self:_flush_begin()
    local function done()
      return self:_is_closed() or self:_pending() == 0 or self:_flush_done(mark)
    end
    wait.wait(how, done, function(slice)
      return self:_flush_wait(mark, slice) or done()
    end, seconds)
  end
  local ok, remaining
  ok, message, code, remaining = self:_close(0)
  poll(self, POLL_MAX)
  if ok then return true end
  return nil, explained(self, message), code, remaining
end

--- Commits all accepted so far at once, and waits until it is on disk or delivered.
---@param seconds number|nil nil: as long as it takes
---@return true|nil
---@return string|nil message
---@return string|nil code
function methods:flush_to_disk(seconds)
  check_seconds("flush_to_disk", seconds)
  check_open(self)
  local how, message, code = "block", nil, nil
  if seconds ~= 0 then how, message, code = wait.how("flush_to_disk") end
  if not how then return nil, message, code end
  local mark = self:_disk_begin()
  if not mark then return nil, "flush_to_disk: needs a spool", "CONFIG" end
  wait.wait(how, function() return self:_disk_done(mark) end,
    function(slice) return self:_disk_wait(mark, slice) end, seconds)
  return self:_disk_wait(mark, 0)
end

--- The figures of the client's sender: the ledger, gauges and latencies.
---@return table
function methods:stats()
  local private, stats = self:_private(), self:_stats()
  stats.on_delivery_errors = private.on_delivery_errors
  stats.on_delivery_error = private.on_delivery_error
  return stats
end

--- The same as Prometheus text.
---@param labels table<string, string>|nil for every sample
---@return string
function methods:prometheus(labels)
  check_argument(labels == nil or type(labels) == "table", "prometheus", "a table", labels)
  return prometheus.render(self:stats(), labels)
end

--- Replaces the credentials, for all clients that share the sender; what was paused starts again.
---@param credentials { app_id: string, access_key: string, access_secret: string }
---@return true|nil
---@return string|nil message
---@return string|nil code
function methods:set_credentials(credentials)
  check_argument(type(credentials) == "table", "set_credentials", "a table", credentials)
  check_open(self)
  local checked, message, code = config.check_credentials(credentials)
  if not checked then return nil, message, code end
  return self:_set_credentials(checked.app_id, checked.access_key, checked.access_secret)
end

local M = {}

--- A client of checked settings.
---@param settings table what config.check returned
---@return quickaudience.client|nil
---@return string|nil message
---@return string|nil code
function M.new(settings)
  local client, message, code = core.new(settings)
  if not client then return nil, message, code end
  local private = client:_private()
  private.on_delivery = settings.on_delivery
  private.on_delivery_errors = 0
  private.close_timeout = settings.close_timeout
  return client
end

return M
