--- config.lua
-- Every configuration key: its type, unit, default, range, importance and meaning, and the checks.
-- Does not know what the keys do to a client.
-- SPDX-License-Identifier: MIT
local core = require "quickaudience.core"
local url = require "quickaudience.url"

local M = {}

local KIB, MIB, GIB = 1024, 1024 ^ 2, 1024 ^ 3
local MINUTE, HOUR, DAY = 60, 3600, 86400

---@class quickaudience.config.key
---@field name string
---@field type string one of the checkers below
---@field importance "high"|"medium"|"low"
---@field doc string
---@field required boolean|nil
---@field default any
---@field default_doc string|nil the default in words, where it depends on other keys
---@field unit "seconds"|"bytes"|"events"|"requests"|"requests per second"|nil
---@field min number|nil
---@field max number|nil
---@field values string[]|nil of a choice
---@field secret boolean|nil its value is never shown
---@field at_most string|nil the key that bounds it; a default gives way, a given value is an error

-- In the order in which they are checked and documented.
---@type quickaudience.config.key[]
M.keys = {
  { name = "endpoint", type = "endpoint", required = true, importance = "high",
    doc = "Where the service is: scheme, host and, if it is not the usual one, port. The vendor "
      .. "gives it to each tenant." },
  { name = "app_id", type = "text", required = true, importance = "high",
    doc = "The application's id, from the console." },
  { name = "access_key", type = "text", required = true, secret = true, importance = "high",
    doc = "The application's access key, from the console." },
  { name = "access_secret", type = "text", required = true, secret = true, importance = "high",
    doc = "The application's secret, from the console. It signs requests and is never sent, "
      .. "logged or stored." },
  { name = "organization_id", type = "text", required = true, importance = "high",
    doc = "The tenant's id: every event's `organizationId`, unless the event has its own." },
  { name = "workspace_id", type = "text", importance = "medium",
    doc = "The workspace of events that name none. Without one, every workspace that defines "
      .. "the event's code receives it." },
  { name = "attributes", type = "table", importance = "medium",
    doc = "Attributes that every event gets (at most 64); an event's own win." },
  { name = "on_delivery", type = "function", importance = "medium",
    doc = "Called with each delivery report, from `poll`, `flush` and `close` only." },
  { name = "spool", type = "text", importance = "high",
    doc = "A directory in which accepted events survive the process. Without one they are kept "
      .. "in memory only." },

  { name = "batch_events", type = "integer", unit = "events", default = 200, min = 1, max = 10000,
    at_most = "queue_events", importance = "medium",
    doc = "Events of one request, at most. The service's own limit is not published." },
  { name = "batch_bytes", type = "integer", unit = "bytes", default = 512 * KIB, min = KIB,
    max = 16 * MIB, at_most = "queue_bytes", importance = "medium",
    doc = "Bytes of the event list of one request, at most; so no event can be larger." },
  { name = "linger", type = "number", unit = "seconds", default = 0.2, min = 0, max = MINUTE,
    at_most = "delivery_deadline", importance = "medium",
    doc = "How long an event waits for others to share its request. More makes fewer requests, "
      .. "less delivers sooner; a flush does not wait." },
  { name = "queue_events", type = "integer", unit = "events", default = 100000, min = 1,
    max = 100000000, importance = "high",
    doc = "Events in memory, those on their way included, at most. `report` refuses more with "
      .. "`QUEUE_FULL`." },
  { name = "queue_bytes", type = "integer", unit = "bytes", default = 64 * MIB, min = KIB,
    max = 64 * GIB, importance = "high",
    doc = "Bytes of the events in memory, at most. `report` refuses more with `QUEUE_FULL`." },
  { name = "max_in_flight", type = "integer", unit = "requests", default = 4, min = 1, max = 64,
    importance = "medium",
    doc = "Requests at a time, at most." },
  { name = "max_requests_per_second", type = "number", unit = "requests per second", min = 0.001,
    max = 100000, default_doc = "no limit", importance = "medium",
    doc = "A ceiling on requests, for a service that limits them." },

  { name = "timeout", type = "number", unit = "seconds", default = 10, min = 0.1, max = 600,
    importance = "medium",
    doc = "For a whole request, from connecting to the end of the answer." },
  { name = "connect_timeout", type = "number", unit = "seconds", default = 3, min = 0.1,
    max = 600, at_most = "timeout", importance = "low",
    doc = "For finding the host, connecting and agreeing on TLS." },
  { name = "retry_base", type = "number", unit = "seconds", default = 0.2, min = 0.001,
    max = HOUR, at_most = "retry_max", importance = "low",
    doc = "The first bound of the delay before a retry. It doubles with each failure, and the "
      .. "delay is drawn at random from 0 up to it." },
  { name = "retry_max", type = "number", unit = "seconds", default = MINUTE, min = 0.001,
    max = HOUR, importance = "low",
    doc = "The last bound of that delay. A `Retry-After` of the service counts up to 10 minutes "
      .. "even so." },
  { name = "delivery_deadline", type = "number", unit = "seconds", min = 0.1, max = 30 * DAY,
    default = function(config) return config.spool and DAY or 5 * MINUTE end,
    default_doc = "300 in memory, 86400 with a spool", importance = "high",
    doc = "How long delivery of an event is tried, retries and pauses included. Then it is "
      .. "dropped and reported." },
  { name = "close_timeout", type = "number", unit = "seconds", default = 2, min = 0, max = 600,
    importance = "medium",
    doc = "How long `close` without an argument, and the garbage collector, deliver what is "
      .. "left. nginx kills a worker about 3 s after TERM, and one of several sooner: there it "
      .. "is 1.2 at most." },

  { name = "spool_max_bytes", type = "integer", unit = "bytes", default = GIB, min = MIB,
    max = 1024 * GIB, importance = "medium",
    doc = "Bytes of the spool's directory, at most. `report` refuses more with `SPOOL_FULL`." },
  { name = "spool_sync", type = "choice", values = { "full", "normal" }, default = "full",
    importance = "medium",
    doc = "`full`: what is committed survives a power cut. `normal`: it survives a crash of the "
      .. "process, but a power cut may take the latest commits." },
  { name = "commit_interval", type = "number", unit = "seconds", default = 0.05, min = 0.001,
    max = 10, importance = "medium",
    doc = "With a spool, an event that is not delivered by then is on disk." },

  { name = "ca_file", type = "file", default_doc = "the system's", importance = "low",
    doc = "Certificates (PEM) that the service's certificate is verified with." },
  { name = "proxy", type = "proxy", default_doc = "none", importance = "low",
    doc = "`http://`, `https://`, `socks5://` or `socks5h://` with host, port and, if need be, "
      .. "user and password. The environment is not asked." },
  { name = "allow_insecure_http", type = "boolean", default = false, importance = "low",
    doc = "Allows an `http://` endpoint on a host that is not this machine. The signature does "
      .. "not protect the events or the call: TLS does." },

  { name = "access_id", type = "text", importance = "low",
    default = function(config) return config.organization_id end, default_doc = "`organization_id`",
    doc = "The form field `accessId`. That it is the organization's id is inferred." },
  { name = "path", type = "path", default = "/openapi/cloud/event/detail/receive",
    importance = "low",
    doc = "The path of the service at the endpoint. The default is the documented one." },
  { name = "sign_encoding", type = "choice", values = { "form", "rfc3986", "none" },
    default = "form", importance = "low",
    doc = "How values are URL-encoded before they are signed. `form`, Java's way, is inferred "
      .. "from the vendor's sample; all agree on letters, digits and `-`." },
  { name = "error_codes", type = "error_codes", importance = "low",
    doc = "What the service's error codes mean, as it publishes none: a map from a code to "
      .. "`\"retry\"`, `\"reject\"` or `\"pause\"`. A code without an entry is a rejection." },
}

-- What set_credentials takes.
M.credentials = { "app_id", "access_key", "access_secret" }

-- ---- messages -----------------------------------------------------------------------------------

local SHOWN_MAX = 48
local ERROR_CODES_MAX = 256
local ACTIONS = { retry = true, reject = true, pause = true }

local function number_text(value)
  return (string.format(value == math.floor(value) and "%.0f" or "%.14g", value))
end

local ARTICLES = { number = "a number", string = "a string", boolean = "a boolean",
  table = "a table", ["function"] = "a function", userdata = "a userdata",
  thread = "a coroutine" }

local function type_text(value)
  return ARTICLES[type(value)] or type(value)
end

-- A value as a message may show it: short, one line, and only for keys that are no secret.
local function shown(value, key)
  if key.secret then return type_text(value) end
  if type(value) == "number" or type(value) == "boolean" then return tostring(value) end
  if type(value) ~= "string" then return type_text(value) end
  local text = value:gsub("[%c\"]", "?")
  if #text > SHOWN_MAX then text = text:sub(1, SHOWN_MAX) .. "..." end
  return '"' .. text .. '"'
end

local function expected(what, value, key)
  return string.format("expected %s, got %s", what, shown(value, key))
end

-- ---- checkers: (value, key, config) -> the value to use, or nil and what is wrong -----------

local checkers = {}

-- Zero bytes would cut the text short in C, and the others are never meant.
local function control_problem(value)
  if value:find("^%s") or value:find("%s$") then
    return "begins or ends with a blank or a newline"
  elseif value:find("%c") then
    return "contains a control character"
  end
end

function checkers.text(value, key)
  if type(value) ~= "string" then return nil, expected("a string", value, key) end
  if value == "" then return nil, "empty" end
  local problem = control_problem(value)
  if problem then return nil, problem end
  return value
end

local function range_text(key)
  local unit = key.unit and " (" .. key.unit .. ")" or ""
  return number_text(key.min) .. " to " .. number_text(key.max) .. unit
end

function checkers.integer(value, key)
  if type(value) ~= "number" or value ~= math.floor(value)
    or value < key.min or value > key.max then
    return nil, expected("an integer from " .. range_text(key), value, key)
  end
  return value
end

function checkers.number(value, key)
  -- Not `value < min or value > max`: a NaN has to fail too.
  if type(value) ~= "number" or not (value >= key.min and value <= key.max) then
    return nil, expected("a number from " .. range_text(key), value, key)
  end
  return value
end

function checkers.boolean(value, key)
  if type(value) ~= "boolean" then return nil, expected("true or false", value, key) end
  return value
end

checkers["function"] = function(value, key)
  if type(value) ~= "function" then return nil, expected("a function", value, key) end
  return value
end

-- Its members are checked where they are encoded.
function checkers.table(value, key)
  if type(value) ~= "table" then return nil, expected("a table", value, key) end
  return value
end

function checkers.choice(value, key)
  for _, name in ipairs(key.values) do
    if value == name then return value end
  end
  local names = '"' .. table.concat(key.values, '", "') .. '"'
  return nil, expected((names:gsub(', ("[^"]*")$', " or %1")), value, key)
end

function checkers.file(value, key)
  local path, message = checkers.text(value, key)
  if not path then return nil, message end
  local file, reason = io.open(path, "rb")
  if not file then
    return nil, "cannot read '" .. path .. "': " .. reason:gsub("^.*: ", "")
  end
  local first = file:read(1)
  file:close()
  if not first then return nil, "cannot read '" .. path .. "': empty, or no file" end
  return path
end

function checkers.path(value, key)
  if type(value) ~= "string" or not value:find("^/") then
    return nil, expected('a path that begins with "/"', value, key)
  elseif value:find("[^%w/._~!$&'()*+,;=:@%%-]") then
    return nil, expected("a path without a query, percent-encoded", value, key)
  end
  return value
end

function checkers.endpoint(value, key, config)
  if type(value) ~= "string" then return nil, expected("a URL", value, key) end
  local parts, problem = url.parse(value)
  if not parts then return nil, problem end
  if parts.scheme ~= "https" and parts.scheme ~= "http" then
    return nil, "expected https:// or http://, got " .. parts.scheme .. "://"
  elseif parts.user then
    return nil, "must hold no user or password"
  elseif parts.rest ~= "" and parts.rest ~= "/" then
    return nil, "expected only scheme, host and port; a path goes into config.path"
  elseif parts.scheme == "http" and not url.is_loopback(parts.host)
    and config.allow_insecure_http ~= true then
    return nil, "http:// to '" .. parts.host .. "' would send events and signature in the clear; "
      .. "use https://, or set allow_insecure_http"
  end
  return url.origin(parts)
end

local PROXY_SCHEMES = { http = true, https = true, socks5 = true, socks5h = true }

-- It may hold a password, so no message shows any of it.
function checkers.proxy(value, key)
  if type(value) ~= "string" then return nil, expected("a URL", value, key) end
  local parts, problem = url.parse(value)
  if not parts then return nil, problem end
  if not PROXY_SCHEMES[parts.scheme] then
    return nil, "expected http://, https://, socks5:// or socks5h://"
  elseif parts.rest ~= "" and parts.rest ~= "/" then
    return nil, "expected only scheme, user, host and port"
  end
  return value
end

function checkers.error_codes(value, key)
  if type(value) ~= "table" then return nil, expected("a table", value, key) end
  local copy, count = {}, 0
  for code, action in pairs(value) do
    if type(code) ~= "string" or code == "" or code:find("\0", 1, true) then
      return nil, "expected the service's codes, strings, as keys, got " .. shown(code, key)
    elseif not ACTIONS[action] then
      return nil, expected('"retry", "reject" or "pause" for ' .. shown(code, key), action, key)
    end
    copy[code], count = action, count + 1
  end
  if count > ERROR_CODES_MAX then return nil, "more than " .. ERROR_CODES_MAX .. " codes" end
  return copy
end

-- ---- the whole table ----------------------------------------------------------------------------

local function fail(subject, name, message)
  return nil, subject .. "." .. name .. ": " .. message, "CONFIG"
end

-- The first key, by the alphabet so that it is always the same, that is none of `known`.
local function unknown_key(given, known)
  local found
  local names, is_known = {}, {}
  for i, key in ipairs(known) do
    names[i] = key.name
    is_known[key.name] = true
  end
  for name in pairs(given) do
    if not is_known[name] and (found == nil or tostring(name) < tostring(found)) then
      found = name
    end
  end
  return found, names
end

local function check_names(subject, given, known)
  local name, names = unknown_key(given, known)
  if name == nil then return true end
  if type(name) ~= "string" then
    return nil, subject .. ": expected only strings as keys, got " .. type_text(name), "CONFIG"
  end
  local meant = core.nearest(name, names)
  local text = name:gsub("%c", "?"):sub(1, SHOWN_MAX)
  return fail(subject, text,
    meant and "unknown key; did you mean '" .. meant .. "'?" or "unknown key")
end

-- `from[key.name]` checked, or the key's default; nil and an error.
local function read_key(subject, key, from)
  local value = from[key.name]
  if value == nil then
    if key.required then
      return fail(subject, key.name,
        "missing; a " .. (key.type == "endpoint" and "URL" or "string") .. " is required")
    end
    value = key.default
    if type(value) == "function" then value = value(from) end
    return true, value
  end
  local checked, message = checkers[key.type](value, key, from)
  if checked == nil then return fail(subject, key.name, message) end
  return true, checked
end

local function read_keys(subject, keys, from)
  local settings = {}
  for _, key in ipairs(keys) do
    local ok, value, code = read_key(subject, key, from)
    if not ok then return nil, value, code end
    settings[key.name] = value
  end
  return settings
end

-- Bounds between two keys: a default gives way to what the user set, what the user set does not.
local function check_bounds(given, settings)
  for _, key in ipairs(M.keys) do
    local bound = key.at_most
    if bound and settings[key.name] > settings[bound] then
      if given[key.name] ~= nil then
        return fail("config", key.name, string.format("%s is more than %s (%s)",
          number_text(settings[key.name]), bound, number_text(settings[bound])))
      end
      settings[key.name] = settings[bound]
    end
  end
  return settings
end

--- Checks a configuration and fills in the defaults.
---@param given table
---@return table|nil settings a new table, every key in its documented unit
---@return string|nil message
---@return string|nil code "CONFIG"
function M.check(given)
  local ok, message, code = check_names("config", given, M.keys)
  if not ok then return nil, message, code end
  local settings
  settings, message, code = read_keys("config", M.keys, given)
  if not settings then return nil, message, code end
  return check_bounds(given, settings)
end

--- Checks what set_credentials takes: the three credentials, all of them.
---@param given table
---@return table|nil credentials
---@return string|nil message
---@return string|nil code "CONFIG"
function M.check_credentials(given)
  local keys = {}
  for _, key in ipairs(M.keys) do
    for _, name in ipairs(M.credentials) do
      if key.name == name then keys[#keys + 1] = key end
    end
  end
  local ok, message, code = check_names("credentials", given, keys)
  if not ok then return nil, message, code end
  return read_keys("credentials", keys, given)
end

return M
