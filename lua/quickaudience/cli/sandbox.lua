--- sandbox.lua
-- The subcommand `sandbox`: turns its options into the settings of a local Quick Audience.
-- Does not know how nginx is found and run, or what the sandbox answers.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local launcher = require "quickaudience.sandbox.launcher"
local nearest = require "quickaudience.sandbox.nearest"
local percent = require "quickaudience.sandbox.percent"
local service = require "quickaudience.sandbox.service"
local store = require "quickaudience.sandbox.store"

local M = {}

local OK, FAILED, USAGE = 0, 1, 2

M.summary = "Run a local Quick Audience that checks every call, keeps what arrives, "
  .. "and fails on demand."

--- Everybody knows these: they are for trying things out on one's own machine.
M.demo = {
  app_id = "demo-app",
  access_key = "demo-access-key",
  access_secret = "demo-access-secret",
}

M.demo_organization = "demo-organization"

M.body_limit = 32 * 1024 * 1024 -- bytes; the service's own limit is unknown

-- A converter for argparse: a whole number of at least `low`, at most `high`.
local function whole(name, low, high)
  return function(text)
    local number = text:match("^%d+$") and tonumber(text)
    if not number or number < low or number > high then
      return nil, string.format("%s: must be a whole number from %.0f to %.0f, is '%s'", name,
        low, high, text)
    end
    return number
  end
end

local function seconds(name)
  return function(text)
    local number = tonumber(text)
    if not number or not (number >= 0 and number <= 1e9) then
      return nil, string.format("%s: must be a number of seconds, is '%s'", name, text)
    end
    return number
  end
end

local function one_of(name, known)
  return function(text)
    for _, value in ipairs(known) do
      if value == text then return value end
    end
    return nil, name .. ": " .. nearest.message("value", text, known)
  end
end

-- The description of the subcommand's options, which docs/sandbox.md repeats with more words.
function M.configure(command)
  command:option("--port", "Port to listen on; 0 takes any free one.", "9090",
    whole("--port", 0, 65535))
  command:option("--host", "Address to listen on.", "127.0.0.1")
  command:option("--credentials", "What calls are signed with: app_id:access_key:access_secret, "
    .. "a JSON file, or - for JSON on standard input. Can be repeated. A secret on the command "
    .. "line can be seen by other users of the machine; a file, standard input or the "
    .. "environment variables QUICKAUDIENCE_APP_ID, QUICKAUDIENCE_ACCESS_KEY and "
    .. "QUICKAUDIENCE_ACCESS_SECRET cannot. Without any: well-known demo credentials.")
    :argname("<credentials>"):count("*")
  command:option("--organization", "An accessId to accept. Can be repeated. Without any: all.")
    :argname("<id>"):count("*")
  command:option("--keep", "How many valid and how many invalid events to keep for "
    .. "/sandbox/events.", tostring(store.defaults.keep), whole("--keep", 0, 1e8))
  command:option("--keep-bytes", "How many bytes of each kind to keep at most.",
    tostring(store.defaults.keep_bytes), whole("--keep-bytes", 0, 1e11))
  command:option("--distinct", "How many different events to remember for counting duplicates.",
    tostring(store.defaults.distinct), whole("--distinct", 0, 1e8))
  command:option("--body-limit", "Bytes that a request's body may have.", tostring(M.body_limit),
    whole("--body-limit", 1024, 1024 * 1024 * 1024))
  command:option("--skew", "Seconds that a call's timestamp may be off.",
    tostring(service.defaults.skew), seconds("--skew"))
  command:option("--sign-encoding", "How the signed values are encoded: "
    .. table.concat(percent.names, ", ") .. ".", service.defaults.sign_encoding,
    one_of("--sign-encoding", percent.names))
  command:option("--path", "The path of the event call.", service.PATH)
  command:flag("--lenient", "Let an event's organizationId differ from the call's accessId.")
  command:option("--seed", "Start of the random numbers for faults with a probability.",
    tostring(service.defaults.seed), whole("--seed", 1, 2147483646))
  command:option("--nginx", "The nginx or openresty program to run.")
  command:flag("--print-port", "Print only the port on the first line.")
  command:flag("--verbose", "Log every refused or spoilt call to standard error.")
end

local FIELDS = { "app_id", "access_key", "access_secret" }

local function check_credential(value, source)
  if type(value) ~= "table" or #value > 0 then
    return nil, source .. ": must be an object with " .. table.concat(FIELDS, ", ")
  end
  local known = {}
  for _, name in ipairs(FIELDS) do
    known[name] = true
    if type(value[name]) ~= "string" or value[name] == "" then
      -- A misspelt key is both unknown and missing; the unknown one is the better news.
      for other in pairs(value) do
        if nearest.find(tostring(other), FIELDS) == name and other ~= name then
          return nil, source .. ": " .. nearest.message("key", tostring(other), FIELDS)
        end
      end
      return nil, string.format("%s: %s: must be a string that is not empty", source, name)
    end
  end
  for name in pairs(value) do
    if not known[name] then
      return nil, source .. ": " .. nearest.message("key", tostring(name), FIELDS)
    end
  end
  return value
end

-- Credentials from JSON text: one object, or an array of them.
local function from_json(text, source, list)
  local ok, value = pcall(cjson.decode, text)
  -- The decoder's message quotes nothing of the text, which may hold a secret.
  if not ok then return nil, source .. ": is not JSON" end
  if type(value) == "table" and #value > 0 then
    for i, item in ipairs(value) do
      local credential, message = check_credential(item, string.format("%s[%d]", source, i - 1))
      if not credential then return nil, message end
      list[#list + 1] = credential
    end
    return true
  end
  local credential, message = check_credential(value, source)
  if not credential then return nil, message end
  list[#list + 1] = credential
  return true
end

local function from_argument(argument, context, list)
  if argument == "-" then
    return from_json(context.stdin:read("*a") or "", "credentials on standard input", list)
  end
  local app_id, access_key, access_secret = argument:match("^([^:]+):([^:]+):(.+)$")
  if app_id then
    list[#list + 1] = { app_id = app_id, access_key = access_key, access_secret = access_secret }
    return true
  end
  local file = io.open(argument, "r")
  local text = file and file:read("*a")
  if file then file:close() end
  if not text then
    -- Not quoted in full: it may be a secret with a part left out.
    return nil, "--credentials: neither app_id:access_key:access_secret nor a readable file"
  end
  return from_json(text, argument, list)
end

local function from_environment(context, list)
  local credential, some = {}, false
  for _, name in ipairs(FIELDS) do
    local value = context.getenv("QUICKAUDIENCE_" .. name:upper())
    if value == "" then value = nil end
    credential[name], some = value, some or value ~= nil
  end
  if not some then return true end
  for _, name in ipairs(FIELDS) do
    if not credential[name] then
      return nil, string.format("QUICKAUDIENCE_%s: is not set, but others of its kind are",
        name:upper())
    end
  end
  list[1] = credential
  return true
end

--- The credentials that the arguments, or else the environment, name.
---@param arguments string[] the values of --credentials
---@param context quickaudience.cli.context
---@return table[]|nil credentials an empty list when nothing names any
---@return string|nil message
function M.credentials(arguments, context)
  local list = {}
  for _, argument in ipairs(arguments) do
    local ok, message = from_argument(argument, context, list)
    if not ok then return nil, message end
  end
  if #arguments == 0 then
    local ok, message = from_environment(context, list)
    if not ok then return nil, message end
  end
  return list
end

local function announce(args, context, demo, host, port)
  local out = context.stdout
  local shown = host
  if host:find(":", 1, true) then shown = "[" .. host .. "]" end
  if host == "0.0.0.0" then shown = "127.0.0.1" elseif host == "::" then shown = "[::1]" end
  local url = string.format("http://%s:%d", shown, port)
  if args.print_port then
    out:write(string.format("%d\n", port))
  else
    out:write("quickaudience sandbox listens on ", url, "\n")
  end
  if demo then
    out:write("demo credentials, known to everybody:\n")
    for _, name in ipairs(FIELDS) do out:write("  ", name, " = ", M.demo[name], "\n") end
    out:write("  organization_id = ", M.demo_organization, " (any other will do)\n")
  end
  out:write("what arrives: ", url, "/sandbox/all (Ctrl-C stops)\n")
  out:flush()
end

--- Runs the subcommand.
---@param args table what argparse read
---@param context quickaudience.cli.context
---@return integer exit code
function M.run(args, context)
  local credentials, message = M.credentials(args.credentials, context)
  if not credentials then
    context.stderr:write("quickaudience sandbox: ", message, "\n")
    return USAGE
  end
  local host = args.host:gsub("^%[(.*)%]$", "%1")
  if not host:match("^[%w%.:%-]+$") then
    context.stderr:write("quickaudience sandbox: --host: no address\n")
    return USAGE
  elseif args.path:sub(1, 1) ~= "/" then
    context.stderr:write("quickaudience sandbox: --path: must begin with '/'\n")
    return USAGE
  end
  local demo = #credentials == 0
  if demo then credentials = { M.demo } end
  local ok
  ok, message = launcher.run {
    host = host, port = args.port, nginx = args.nginx,
    log_level = args.verbose and "notice" or "warn",
    settings = {
      credentials = credentials,
      organizations = #args.organization > 0 and args.organization or nil,
      keep = args.keep, keep_bytes = args.keep_bytes, distinct = args.distinct,
      body_limit = args.body_limit, skew = args.skew, sign_encoding = args.sign_encoding,
      path = args.path, lenient = args.lenient or false, seed = args.seed,
    },
    on_ready = function(at, port) announce(args, context, demo, at, port) end,
  }
  if ok then return OK end
  context.stderr:write("quickaudience sandbox: ", message, "\n")
  return FAILED
end

return M
