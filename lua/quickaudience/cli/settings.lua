-- settings.lua
-- Gathers a client's configuration from flags, a file and the environment, in this order.
-- Does not know what the keys mean; quickaudience.config does, and checks them.
-- SPDX-License-Identifier: MIT
local cjson = require "cjson"
local quantity = require "quickaudience.cli.quantity"

local M = {}

local SECRET = "access_secret"
local PREFIX = "QUICKAUDIENCE_"
local HELP_WIDTH = 80
local SECRET_BYTES_MAX = 64 * 1024

-- Loaded when a command that needs it is chosen: the others start without the C module.
local function keys()
  return require("quickaudience.config").keys
end

-- A function cannot be written into a flag, a file of data or the environment.
local function is_settable(key)
  return key.type ~= "function"
end

local function flag_of(name)
  return "--" .. name:gsub("_", "-")
end

local UNITS = { bytes = "<size>", seconds = "<duration>" }

local function placeholder(key)
  if key.values then return "<" .. table.concat(key.values, "|") .. ">" end
  if key.type == "table" or key.type == "error_codes" then return "<json>" end
  return UNITS[key.unit] or "<" .. key.type:gsub("integer", "number") .. ">"
end

local function description(key)
  local text = key.doc:gsub("`", "")
  if key.default_doc then
    text = text .. " Default: " .. key.default_doc:gsub("`", "") .. "."
  elseif key.default ~= nil and type(key.default) ~= "function" then
    local shown = tostring(key.default)
    if type(key.default) == "number" then shown = string.format("%.14g", key.default) end
    text = text .. " Default: " .. shown .. "."
  end
  return text
end

local function add_key(command, key)
  if key.name == SECRET then
    return {
      command:option("--access-secret-file",
        "A file whose first line is the application's secret. The secret itself belongs into a "
        .. "file or " .. PREFIX .. "ACCESS_SECRET, never on the command line."):argname("<file>"),
      command:option("--access-secret"):hidden(true),
    }
  elseif key.type == "boolean" then
    return { command:flag(flag_of(key.name), description(key)) }
  end
  return { command:option(flag_of(key.name), description(key)):argname(placeholder(key)) }
end

local unpack = table.unpack or unpack

--- Adds a command's own options, then one for every key, and --config, in a group of their own.
---@param command table of argparse
---@param usage string what stands behind `quickaudience`
---@param own table[] the command's options
---@param only table<string, boolean>|nil the keys to take; nil: all
function M.configure(command, usage, own, only)
  command:usage("Usage: quickaudience " .. usage)
  command:help_max_width(HELP_WIDTH)
  command:group("Options", unpack(own))
  local options = { command:option("--config", "A configuration: a Lua file that returns a table, "
    .. "or JSON. Every key can also stand in the environment, as "
    .. PREFIX .. "SPOOL_SYNC for spool_sync. Flags win over the file, the file over the "
    .. "environment."):argname("<file>") }
  for _, key in ipairs(keys()) do
    if is_settable(key) and (not only or only[key.name]) then
      for _, option in ipairs(add_key(command, key)) do options[#options + 1] = option end
    end
  end
  command:group("Configuration", unpack(options))
end

-- ---- text to values ------------------------------------------------------------------------

local function from_json(text)
  local ok, value = pcall(cjson.decode, text)
  if not ok or type(value) ~= "table" then return nil, "expected a JSON object" end
  return value
end

local function convert(key, text)
  if key.unit == "bytes" then return quantity.bytes(text) end
  if key.unit == "seconds" then return quantity.seconds(text) end
  if key.type == "integer" or key.type == "number" then return quantity.number(text) end
  if key.type == "boolean" then return quantity.switch(text) end
  if key.type == "table" or key.type == "error_codes" then return from_json(text) end
  return text
end

local function shown(key, message)
  return key.secret and "not a valid value" or message
end

-- ---- the file ------------------------------------------------------------------------------

-- Lua code that can reach nothing: it computes a table and returns it.
local function run_lua(text, path)
  if text:sub(1, 1) == "\27" then return nil, "is compiled Lua; expected source" end
  local chunk, message
  if setfenv then
    chunk, message = loadstring(text, "@" .. path) -- luacheck: ignore 113
    if chunk then setfenv(chunk, {}) end
  else
    chunk, message = load(text, "@" .. path, "t", {}) -- luacheck: ignore 143
  end
  if not chunk then
    -- Lua quotes what stands there, which may be part of a secret.
    return nil, message:gsub("%s+near .*$", "")
      .. "; expected a JSON object, or Lua that returns a table"
  end
  local ok, value = pcall(chunk)
  if not ok then return nil, tostring(value) .. "; it can compute, but reach nothing" end
  if type(value) ~= "table" then return nil, "must return a table, returned a " .. type(value) end
  return value
end

local function parse(text, path)
  if path:find("%.json$") or text:find("^%s*[{%[]") then
    local ok, value = pcall(cjson.decode, text)
    -- The decoder's message may quote the text, which may hold a secret.
    if not ok or type(value) ~= "table" or #value > 0 then return nil, "is not a JSON object" end
    return value
  end
  if not text:find("%S") then
    return nil, "is empty; expected a JSON object, or Lua that returns a table"
  end
  local value, message = run_lua(text, path)
  -- Such a message names the file already.
  return value, message and message:gsub("^" .. path:gsub("%p", "%%%0") .. ":%s*", "")
end

local function read_text(path, max)
  local file, reason = io.open(path, "rb")
  if not file then return nil, "cannot be read: " .. reason:gsub("^.*: ", "") end
  local text = file:read(max or "*a")
  file:close()
  if not text then return nil, "is empty, or no file" end
  return text
end

-- Lua cannot ask for permissions; `ls` can. Where it fails, nothing is said.
local function others_may_read(path)
  local pipe = io.popen("ls -ldL -- '" .. path:gsub("'", "'\\''") .. "' 2>/dev/null")
  local line = pipe and pipe:read("*l") or ""
  if pipe then pipe:close() end
  return line:sub(8, 8) == "r"
end

local function warn_if_open(path, context)
  if not others_may_read(path) then return end
  context.stderr:write("quickaudience: warning: every user of this machine can read the secret in ",
    path, "; chmod 600 it\n")
end

local function from_file(path, context)
  local text, message = read_text(path)
  local value
  if text then value, message = parse(text, path) end
  if not value then return nil, path .. ": " .. message end
  if value[SECRET] ~= nil then warn_if_open(path, context) end
  local settings = {}
  for name, given in pairs(value) do settings[name] = given end
  for _, key in ipairs(keys()) do
    local given = settings[key.name]
    if given ~= nil and not is_settable(key) then
      return nil, path .. ": " .. key.name .. ": cannot be set for a command"
    elseif type(given) == "string" and (key.type == "integer" or key.type == "number") then
      settings[key.name], message = convert(key, given)
      if message then return nil, path .. ": " .. key.name .. ": " .. message end
    end
  end
  return settings
end

-- ---- all of it -----------------------------------------------------------------------------

local function secret_from(path, context)
  local text, message = read_text(path, SECRET_BYTES_MAX)
  if not text then return nil, "access_secret: " .. path .. " " .. message end
  warn_if_open(path, context)
  return (text:match("^[^\r\n]*"))
end

local function environment(context, name)
  local value = context.getenv(PREFIX .. name:upper())
  if value ~= "" then return value end
end

-- Lets the environment fill what the file left open.
local function add_environment(settings, context)
  for _, key in ipairs(keys()) do
    local text = is_settable(key) and settings[key.name] == nil and environment(context, key.name)
    if text then
      local value, message = convert(key, text)
      if message then return nil, PREFIX .. key.name:upper() .. ": " .. shown(key, message) end
      settings[key.name] = value
    end
  end
  local path = settings[SECRET] == nil and environment(context, "ACCESS_SECRET_FILE")
  if not path then return settings end
  local message
  settings[SECRET], message = secret_from(path, context)
  if message then return nil, message end
  return settings
end

local function add_flags(settings, args, context)
  for _, key in ipairs(keys()) do
    local given = is_settable(key) and key.name ~= SECRET and args[key.name]
    if type(given) == "string" then
      local value, message = convert(key, given)
      if message then return nil, flag_of(key.name) .. ": " .. shown(key, message) end
      settings[key.name] = value
    elseif given then
      settings[key.name] = given
    end
  end
  if not args.access_secret_file then return settings end
  local message
  settings[SECRET], message = secret_from(args.access_secret_file, context)
  if message then return nil, message end
  return settings
end

--- The configuration that the arguments name, not yet checked.
---@param args table what argparse read
---@param context quickaudience.cli.context
---@return table|nil settings
---@return string|nil message
function M.read(args, context)
  if args.access_secret then
    return nil, "--access-secret: other users of this machine can see a command line; put the "
      .. "secret into a file (--access-secret-file, --config) or " .. PREFIX .. "ACCESS_SECRET"
  end
  local settings, message = {}, nil
  local path = args.config or environment(context, "CONFIG")
  if path then settings, message = from_file(path, context) end
  if settings then settings, message = add_environment(settings, context) end
  if settings then settings, message = add_flags(settings, args, context) end
  return settings, message
end

--- The message of quickaudience.new, with where a missing key can be given.
---@param message string
---@return string
function M.explain(message)
  local name = message:match("^config%.([%w_]+): missing")
  if not name then return message end
  local flag = name == SECRET and "--access-secret-file" or flag_of(name)
  return string.format("%s (%s, %s%s, or '%s' in --config)", message, flag, PREFIX, name:upper(),
    name)
end

--- A client of the configuration that the arguments name.
---@param args table
---@param context quickaudience.cli.context
---@param change fun(settings: table)|nil what the command itself sets
---@return quickaudience.client|nil
---@return string|nil message
function M.client(args, context, change)
  local settings, message = M.read(args, context)
  if not settings then return nil, message end
  if change then change(settings) end
  local client
  client, message = require("quickaudience").new(settings)
  if not client then return nil, M.explain(message) end
  return client
end

return M
