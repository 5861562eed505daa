--- hook.lua
-- Compiles a table that says how a request becomes an event into a function that reports it.
-- Does not know how events are delivered.
-- SPDX-License-Identifier: MIT
--
-- The function is written as Lua source and loaded once, because a request should pay for reading
-- its variables and for little else: no loop over descriptions, and no table for the event. The
-- client is told once which members there are, and gets their values as arguments.
local core = require "quickaudience.core"

local M = {}

local VALUES_MAX = 200 -- of one event: what a call has room for

local KEYS = { "client", "event_code", "customer_id", "customer_ids", "attributes", "entity_id",
  "workspace_id", "is_order", "event_time", "sample", "filter" }

-- ---- sources: what a value of the table stands for ----------------------------------------------

local SOURCE_KEYS = { "variable", "header", "cookie", "argument", "constant" }

-- "$uri" -> "uri"; anything else is no variable.
local function variable_name(text)
  return text:match("^%$([%w_]+)$") or text:match("^%${([%w_]+)}$")
end

local function fail(path, message)
  error({ problem = path .. ": " .. message }, 0)
end

local function suggestion(word, known)
  local meant = core.nearest(tostring(word), known)
  return meant and "; did you mean '" .. meant .. "'?"
    or " (known: " .. table.concat(known, ", ") .. ")"
end

local FORMS = {
  variable = function(name) return name:gsub("^%$", "") end,
  header = function(name) return "http_" .. name:lower():gsub("-", "_") end,
  cookie = function(name) return "cookie_" .. name end,
  argument = function(name) return "arg_" .. name end,
}

local function read_table(path, given)
  local kind, name = next(given)
  if kind == nil or next(given, kind) ~= nil then
    fail(path, "expected one of { variable = }, { header = }, { cookie = }, { argument = }, "
      .. "{ constant = }")
  end
  if kind == "constant" then return { constant = name } end
  local form = FORMS[kind]
  if not form then
    fail(path .. "." .. tostring(kind), "unknown source" .. suggestion(kind, SOURCE_KEYS))
  elseif type(name) ~= "string" or not name:find("^[%w_$.-]+$") then
    fail(path .. "." .. kind, "expected a name, got "
      .. (type(name) == "string" and "'" .. name .. "'" or type(name)))
  end
  return { variable = (form(name)) }
end

-- What is given -> { variable = name } | { call = function } | { constant = value }.
local function read_source(path, given)
  local kind = type(given)
  if kind == "function" then return { call = given } end
  if kind == "table" then return read_table(path, given) end
  if kind == "number" or kind == "boolean" then return { constant = given } end
  if kind ~= "string" then fail(path, "expected a string, a function or a table, got " .. kind) end
  if given:sub(1, 1) ~= "$" then return { constant = given } end
  local name = variable_name(given)
  if not name then
    fail(path, "'" .. given .. "' is not one variable, as in \"$uri\"; for a text that begins with "
      .. "a dollar write { constant = \"$…\" }, for a mixture a function")
  end
  return { variable = name }
end

-- ---- writing the function -----------------------------------------------------------------------

local Writer = {}
Writer.__index = Writer

function Writer:add(...)
  self.lines[#self.lines + 1] = string.format(...)
end

-- The expression of a source. What is no literal is handed to the chunk in one table, `values`: a
-- function has room for few names from outside.
function Writer:expression(source)
  if source.variable then return string.format("var[%q]", source.variable) end
  if type(source.constant) == "boolean" then return tostring(source.constant) end
  local value = source.constant
  if source.call then value, self.calls = source.call, true end
  self.values[#self.values + 1] = value
  local name = "values[" .. #self.values .. "]"
  return source.call and name .. "()" or name
end

-- One more value of the event. nginx gives an empty text for much that is not there; the client
-- leaves it out.
function Writer:value(expression, member, name)
  local at = #self.shape + 1
  if at > VALUES_MAX then fail("hook", "more than " .. VALUES_MAX .. " values") end
  self.shape[at] = { member, name }
  self.arguments[at] = expression
end

function Writer:skip(reason)
  self:add("    skipped.%s = (skipped.%s or 0) + 1", reason, reason)
  self:add("    return nil, %q, 'SKIPPED'", "hook: skipped, " .. reason)
  self:add("  end")
end

-- In the order of what costs least.
function Writer:conditions(wanted)
  local sample = wanted.sample
  if sample ~= nil and (type(sample) ~= "number" or not (sample >= 0 and sample <= 1)) then
    fail("hook.sample", "expected a number from 0 to 1, got " .. tostring(sample))
  end
  if wanted.filter ~= nil then
    local source = read_source("hook.filter", wanted.filter)
    if source.constant ~= nil then fail("hook.filter", "expected a function or a variable") end
    self:add("  value = %s", self:expression(source))
    self:add("  if not value or value == '' or value == '0' then")
    self:skip("filtered")
  end
  if sample and sample < 1 then
    self:add("  if random() >= %.17g then", sample)
    self:skip("sampled")
  end
end

-- One source, or a list of them of which the first that is there counts.
function Writer:customer(given)
  if given == nil then
    fail("hook.customer_id",
      "missing; as in customer_id = \"$cookie_uid\" or { header = \"X-User\" }")
  end
  local list = type(given) == "table" and given[1] ~= nil and given or { given }
  for i, item in ipairs(list) do
    local path = #list > 1 and "hook.customer_id[" .. i .. "]" or "hook.customer_id"
    local source = read_source(path, item)
    if source.constant ~= nil then
      fail(path, "the same for every request; did you mean \"$" .. tostring(item) .. "\"?")
    end
    local indent = i == 1 and "  " or "  if not value or value == '' then "
    self:add("%svalue = %s%s", indent, self:expression(source), i == 1 and "" or " end")
  end
  self:add("  if not value or value == '' then")
  self:skip("no_customer")
  self:value("value", "customer_id")
end

local function sorted_pairs(path, map)
  if type(map) ~= "table" then fail(path, "expected a table, got " .. type(map)) end
  local keys = {}
  for key in pairs(map) do
    if type(key) ~= "string" then fail(path, "expected only names as keys") end
    keys[#keys + 1] = key
  end
  table.sort(keys)
  local at = 0
  return function()
    at = at + 1
    return keys[at], map[keys[at]]
  end
end

function Writer:members(wanted)
  for _, key in ipairs { "event_code", "entity_id", "workspace_id", "is_order", "event_time" } do
    if wanted[key] ~= nil then
      self:value(self:expression(read_source("hook." .. key, wanted[key])), key)
    end
  end
  for _, key in ipairs { "attributes", "customer_ids" } do
    if wanted[key] ~= nil then
      for name, given in sorted_pairs("hook." .. key, wanted[key]) do
        local source = read_source("hook." .. key .. "." .. name, given)
        self:value(self:expression(source), key, name)
      end
    end
  end
end

local function check_keys(wanted)
  local known = {}
  for _, key in ipairs(KEYS) do known[key] = true end
  for key in sorted_pairs("hook", wanted) do
    if not known[key] then fail("hook." .. key, "unknown key" .. suggestion(key, KEYS)) end
  end
  if wanted.event_code == nil then
    fail("hook.event_code", "missing; as in event_code = \"page_view\"")
  elseif wanted.event_code == "" then
    fail("hook.event_code", "empty")
  end
end

-- A client lives as long as its worker, but there is none before the first report.
local REPORT = [[
  local client, message, code = site.client, nil, nil
  if not client then client, message, code = open(site) end
  if not client then return nil, message, code end
  if client ~= owner then report, owner = client:_reporter(shape), client end
  return done(site, report(%s))
end]]

local load_text = rawget(_G, "loadstring") or load

local function build(wanted, site, open, done)
  check_keys(wanted)
  local writer = setmetatable({ lines = {}, values = {}, shape = {}, arguments = {},
    calls = false }, Writer)
  writer:conditions(wanted)
  writer:customer(wanted.customer_id)
  writer:members(wanted)
  local source = table.concat({
    "local ngx, site, open, done, random, skipped, shape, values = ...",
    "local report, owner",
    "return function()",
    "  local var, value = ngx.var, nil",
    table.concat(writer.lines, "\n"),
    REPORT:format(table.concat(writer.arguments, ", ")),
  }, "\n")
  local chunk = assert(load_text(source, "=quickaudience.hook"))
  local made = chunk(ngx, site, open, done, math.random, site.skipped, writer.shape,
    writer.values)
  return made, writer.calls
end

-- A user's function that raises must not fail the request, nor flood the log.
local function guarded(made, site)
  return function()
    local ok, result, message, code = pcall(made)
    if ok then return result, message, code end
    site.skipped.error = (site.skipped.error or 0) + 1
    site.last_error = tostring(result)
    return nil, "hook: " .. site.last_error, "SKIPPED"
  end
end

--- The function that reports, or nil and what is wrong.
---@param wanted table
---@param site quickaudience.nginx.site
---@param open fun(site: table): table|nil, string|nil, string|nil the client, or why there is none
---@param done fun(site: table, ok: true|nil, message: string|nil, code: string|nil): ...
---@return function|nil
---@return string|nil problem
function M.compile(wanted, site, open, done)
  local ok, made, calls = pcall(build, wanted, site, open, done)
  if ok then return calls and guarded(made, site) or made end
  if type(made) ~= "table" then error(made, 0) end
  return nil, made.problem .. "; this hook reports nothing"
end

return M
