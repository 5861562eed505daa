-- sign.lua
-- The subcommand `sign`: the signature of a call and the text that is signed, the secret masked.
-- Does not know how either is made.
-- SPDX-License-Identifier: MIT
local cjson = require "cjson"
local quantity = require "quickaudience.cli.quantity"
local settings = require "quickaudience.cli.settings"
local terminal = require "quickaudience.cli.terminal"

local M = {}

local OK, FAILED, USAGE = 0, 1, 2

local KEYS = { app_id = true, access_key = true, access_secret = true, sign_encoding = true }
local REQUIRED = { "app_id", "access_key", "access_secret" }
local ENCODINGS = { form = true, rfc3986 = true, none = true }
local TIMESTAMP_MAX = 9007199254740991

M.summary = "Show a call's signature and the text that is signed, to find a mismatch."

function M.configure(command)
  settings.configure(command, "sign [<options>]", {
    command:option("--timestamp",
      "The call's time in milliseconds since 1970; now if none is given.")
      :argname("<ms>"):convert(quantity.whole("--timestamp", 0, TIMESTAMP_MAX)),
    command:option("--param", "A further query parameter of the call. Can be repeated.")
      :argname("<name=value>"):count("*"):convert(quantity.pair("--param", "name=value")),
    command:flag("--json", "Print JSON."),
  }, KEYS)
end

-- The call to sign, or nil and what is wrong with the settings.
local function call_of(args, context)
  local given, message = settings.read(args, context)
  if not given then return nil, message end
  for _, name in ipairs(REQUIRED) do
    if given[name] == nil then
      return nil, settings.explain("config." .. name .. ": missing; a string is required")
    elseif type(given[name]) ~= "string" or given[name] == "" then
      return nil, name .. ": expected a string that is not empty"
    end
  end
  local encoding = given.sign_encoding or "form"
  if not ENCODINGS[encoding] then
    return nil, 'sign_encoding: expected "form", "rfc3986" or "none", got "'
      .. tostring(encoding) .. '"'
  end
  local params
  params, message = quantity.unique("--param", args.param)
  if not params then return nil, message end
  return {
    app_id = given.app_id, access_key = given.access_key, access_secret = given.access_secret,
    timestamp = args.timestamp or os.time() * 1000, params = params, encoding = encoding,
  }
end

-- The service takes milliseconds; a timestamp before 1973 in them is seconds of today.
local LIKE_SECONDS = 1e11

local function show(args, context, call, signature, canonical)
  if call.timestamp < LIKE_SECONDS then
    context.stderr:write("quickaudience sign: --timestamp: ", string.format("%.0f",
      call.timestamp), " looks like seconds; the service expects milliseconds\n")
  end
  local out = context.stdout
  if args.json then
    out:write(cjson.encode { signature = signature, canonical = canonical,
      timestamp = call.timestamp, sign_encoding = call.encoding }, "\n")
    return
  end
  out:write("canonical  ", canonical, "\n",
    "signature  ", signature, "\n",
    "timestamp  ", string.format("%.0f", call.timestamp), "\n")
  if terminal.is(context, "stdout") then
    out:write("\nThe signature is the MD5 of the canonical text with the secret in place of ***.\n",
      "If the service's differs: compare the names and their order, how values are encoded\n",
      "(--sign-encoding), that the secret has no blank at an end, and the timestamp.\n")
  end
end

--- Runs the subcommand.
---@param args table
---@param context quickaudience.cli.context
---@return integer exit code
function M.run(args, context)
  local call, message = call_of(args, context)
  if not call then
    terminal.fail(context, "sign", message)
    return USAGE
  end
  local core = require "quickaudience.core"
  -- What the C side raises about is what the user wrote: too many parameters, bytes of zero.
  local ok, signature, problem = pcall(core.sign, call)
  if not ok or not signature then
    terminal.fail(context, "sign", ok and problem or tostring(signature))
    return FAILED
  end
  local canonical
  canonical, message = core.canonical(call)
  if not canonical then
    terminal.fail(context, "sign", message)
    return FAILED
  end
  show(args, context, call, signature, canonical)
  return OK
end

return M
