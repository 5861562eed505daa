-- check.lua
-- The subcommand `check`: finds the host, connects, proves who it is, compares clocks and signs.
-- Does not know how a request is made; one call of client:check() does it all.
-- SPDX-License-Identifier: MIT
local cjson = require "cjson"
local advice = require "quickaudience.cli.advice"
local settings = require "quickaudience.cli.settings"
local terminal = require "quickaudience.cli.terminal"

local M = {}

local OK, FAILED, USAGE = 0, 1, 2

-- Seconds. The client corrects its signature's time; a clock that is this wrong dates events wrong.
local CLOCK_TOLERANCE = 60

M.summary = "Check that the service can be reached and accepts the configuration."

function M.configure(command)
  settings.configure(command, "check [<options>]", {
    command:flag("--json", "Print JSON."),
  })
end

local function milliseconds(seconds)
  return string.format("%.1f ms", seconds * 1000)
end

local function clock_line(result)
  local offset = result.clock_offset
  local words = string.format("the service's clock is %.1f s %s", math.abs(offset),
    offset < 0 and "behind" or "ahead")
  if math.abs(offset) < 1 then words = "agrees with the service's within a second" end
  local line = { name = "clock", ok = math.abs(offset) <= CLOCK_TOLERANCE, detail = words }
  if not line.ok then
    line.advice = "set this machine's clock (NTP): signatures are corrected, the events' times "
      .. "are not"
  end
  return line
end

-- The first stage that did not come to its end, of a call that got no answer. The durations say
-- so for most failures; the message, which is ours, for those that end before any is known.
local function broken_stage(result, message, code, https)
  if code == "TLS" then return "tls" end
  if message:find("cannot resolve", 1, true) then return "dns" end
  if message:find("cannot connect", 1, true) then return "connect" end
  if not result.dns then return "dns" end
  if not result.connect then return "connect" end
  if https and not result.tls then return "tls" end
  return "answer"
end

local function stage(lines, name, result, failure, https)
  if failure.stage == name then
    lines[#lines + 1] = { name = name, ok = false, detail = failure.message,
      advice = advice.of(failure.code) }
    failure.shown = true
  elseif failure.shown then
    lines[#lines + 1] = { name = name, detail = "not reached" }
  else
    local detail = result[name] and milliseconds(result[name]) or "done"
    if name == "tls" then
      detail = https and "the certificate is verified, " .. detail or "not used: http://"
    end
    lines[#lines + 1] = { name = name, ok = true, detail = detail }
  end
end

local function signature_line(result, failure)
  if not failure.code then
    local trace = result.trace_id and ", trace " .. result.trace_id or ""
    return { name = "signature", ok = true, detail = "accepted" .. trace }
  elseif failure.code == "AUTH" or failure.code == "REJECTED" then
    return { name = "signature", ok = false, detail = failure.message,
      advice = advice.of(failure.code) }
  end
  return { name = "signature", detail = "not reached" }
end

--- One line for each thing that was looked at.
---@param result table what client:check() returned, or its details
---@param failure { message: string|nil, code: string|nil }
---@param https boolean
---@return table[] lines each { name, ok = true | false | nil (not reached), detail, advice }
function M.lines(result, failure, https)
  local lines = {}
  local answered = result.http_status ~= nil
  failure = { message = failure.message, code = failure.code }
  if failure.code and not answered then
    failure.stage = broken_stage(result, failure.message, failure.code, https)
  end
  for _, name in ipairs { "dns", "connect", "tls" } do
    stage(lines, name, result, failure, https)
  end
  local auth = failure.code == "AUTH" or failure.code == "REJECTED"
  if failure.code and not failure.shown and not auth then
    lines[#lines + 1] = { name = "answer", ok = false, detail = failure.message,
      advice = advice.of(failure.code) }
  end
  lines[#lines + 1] = answered and clock_line(result) or { name = "clock", detail = "not reached" }
  lines[#lines + 1] = signature_line(result, failure)
  return lines
end

local MARKS = { [true] = "ok", [false] = "FAILED" }

local function show(context, lines)
  for _, line in ipairs(lines) do
    local detail = line.detail:gsub("[%z\1-\31\127]", "?")
    context.stdout:write(string.format("%-10s %-7s %s\n", line.name, MARKS[line.ok] or "-", detail))
    if line.advice then context.stdout:write("  what to do: ", line.advice, "\n") end
  end
end

local function all_ok(lines)
  for _, line in ipairs(lines) do
    if not line.ok then return false end
  end
  return true
end

--- Runs the subcommand.
---@param args table
---@param context quickaudience.cli.context
---@return integer exit code
function M.run(args, context)
  local endpoint
  local client, problem = settings.client(args, context, function(given)
    endpoint = given.endpoint
    given.spool = nil -- an empty call needs none, and must not take somebody's
  end)
  if not client then
    terminal.fail(context, "check", problem)
    return USAGE
  end
  local result, message, code, details = client:check()
  client:close(0)
  local lines = M.lines(result or details or {}, { message = message, code = code },
    endpoint:find("^https:") ~= nil)
  local ok = all_ok(lines)
  if args.json then
    context.stdout:write(cjson.encode { ok = ok, endpoint = endpoint, code = code,
      message = message, checks = lines }, "\n")
  else
    show(context, lines)
  end
  return ok and OK or FAILED
end

return M
