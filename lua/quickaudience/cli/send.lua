-- send.lua
-- The subcommand `send`: one event from flags, or one or several as JSON from standard input.
-- Does not know what an event may hold; the client says what is wrong with one.
-- SPDX-License-Identifier: MIT
local cjson = require "cjson"
local advice = require "quickaudience.cli.advice"
local quantity = require "quickaudience.cli.quantity"
local settings = require "quickaudience.cli.settings"
local terminal = require "quickaudience.cli.terminal"

local M = {}

local OK, FAILED, USAGE = 0, 1, 2
local TIME_MAX = 9007199254740991

M.summary = "Send one event, and wait for the service's answer."

-- The flags that describe an event; without any of them it is read from standard input.
local FLAGS = { "customer_id", "event_code", "event_time", "entity_id", "is_order" }
local LISTS = { "attribute", "attribute_json", "id" }

function M.configure(command)
  command:description(M.summary .. " The event comes from the flags below; without any of them, "
    .. "as JSON from standard input: an object, or a list of objects.")
  settings.configure(command, "send [<options>]", {
    command:option("--customer-id", "The user's id in your system."):argname("<id>"),
    command:option("--event-code",
      "The event's code, as defined in the console."):argname("<code>"),
    command:option("--event-time", "Milliseconds since 1970; now if none is given.")
      :argname("<ms>"):convert(quantity.whole("--event-time", 0, TIME_MAX)),
    command:option("--entity-id",
      "The entity's id, for entities other than persons."):argname("<id>"),
    command:option("--attribute", "An attribute of the event, a text. Can be repeated.")
      :argname("<name=value>"):count("*"):convert(quantity.pair("--attribute", "name=value")),
    command:option("--attribute-json",
      "The same with a JSON value, such as 'products=[{\"id\":1}]'.")
      :argname("<name=json>"):count("*"):convert(quantity.pair("--attribute-json", "name=json")),
    command:option("--id",
      "A further id of the customer, such as MOBILE=139****0000. Can be repeated.")
      :argname("<type=id>"):count("*"):convert(quantity.pair("--id", "type=id")),
    command:flag("--is-order", "The event is an order."),
    command:flag("--dry-run", "Say what is wrong with the event, or print it as it would be sent."),
    command:flag("--json", "Print JSON."),
  })
end

local function has_flags(args)
  for _, name in ipairs(FLAGS) do
    if args[name] ~= nil then return true end
  end
  for _, name in ipairs(LISTS) do
    if #args[name] > 0 then return true end
  end
  return false
end

local function add_json_attributes(args, attributes)
  for _, pair in ipairs(args.attribute_json) do
    if attributes[pair[1]] ~= nil then
      return nil, "--attribute-json: '" .. pair[1] .. "' stands twice"
    end
    -- In a list, because a decoder may refuse a lone number or text.
    local ok, value = pcall(cjson.decode, "[" .. pair[2] .. "]")
    if not ok or #value ~= 1 then
      return nil, string.format("--attribute-json: %s: not JSON", pair[1])
    end
    attributes[pair[1]] = value[1]
  end
  return attributes
end

local function from_flags(args)
  if not args.customer_id then
    return nil, "--customer-id: missing; with any flag of the event, standard input is not read"
  end
  local event = { is_order = args.is_order }
  for _, name in ipairs(FLAGS) do event[name] = args[name] end
  local attributes, message = quantity.unique("--attribute", args.attribute)
  if attributes then attributes, message = add_json_attributes(args, attributes) end
  if not attributes then return nil, message end
  if next(attributes) ~= nil then event.attributes = attributes end
  for _, pair in ipairs(args.id) do
    event.customer_ids = event.customer_ids or {}
    table.insert(event.customer_ids, { type = pair[1], id = pair[2] })
  end
  return event
end

local function from_input(context)
  if terminal.is(context, "stdin") then
    return nil, "no event: give --customer-id and --event-code, or JSON on standard input"
  end
  local text = context.stdin:read("*a") or ""
  if not text:find("%S") then
    return nil, "no event: standard input is empty, and there is no --customer-id"
  end
  local ok, value = pcall(cjson.decode, text)
  if not ok then return nil, "standard input: " .. tostring(value) end
  if type(value) ~= "table" then
    return nil, "standard input: expected an object or a list of objects"
  end
  return value
end

local function show(args, context, result, message, code)
  if args.json then
    result.ok, result.message, result.code = message == nil, message, code
    context.stdout:write(cjson.encode(result), "\n")
  elseif message then
    local trace = result.trace_id and not message:find(result.trace_id, 1, true)
      and " (trace " .. result.trace_id .. ")" or ""
    terminal.fail(context, "send", message .. trace, advice.of(code))
    if result.possibly_stored then
      context.stderr:write("  the service may have stored it nevertheless\n")
    end
  elseif terminal.is(context, "stdout") then
    context.stdout:write("sent, trace ", result.trace_id or "unknown", "\n")
  end
end

local function dry_run(args, context, events)
  local quickaudience = require "quickaudience"
  for _, event in ipairs(#events > 0 and events or { events }) do
    if type(event) ~= "table" then
      terminal.fail(context, "send", "event: expected an object")
      return FAILED
    end
    local text, message, code = quickaudience.encode(event)
    if not text then
      show(args, context, {}, message, code)
      return FAILED
    end
    context.stdout:write(text, "\n")
  end
  return OK
end

--- Runs the subcommand.
---@param args table
---@param context quickaudience.cli.context
---@return integer exit code
function M.run(args, context)
  local events, problem
  if has_flags(args) then
    events, problem = from_flags(args)
  else
    events, problem = from_input(context)
  end
  if not events then
    terminal.fail(context, "send", problem)
    return USAGE
  end
  if args.dry_run then return dry_run(args, context, events) end
  local client
  client, problem = settings.client(args, context, function(given) given.spool = nil end)
  if not client then
    terminal.fail(context, "send", problem)
    return USAGE
  end
  local result, message, code, details = client:send(events)
  client:close(0)
  show(args, context, result or details or {}, message, code)
  return result and OK or FAILED
end

return M
