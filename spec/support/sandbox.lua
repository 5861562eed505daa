--- sandbox.lua
-- Starts a sandbox for a spec on a free port, talks to it, and ends it with everything it made.
-- Does not know what a spec wants to see.
-- SPDX-License-Identifier: MIT
--
--   local sandbox = require("spec.support.sandbox").start()  -- or start { args = { "--lenient" } }
--   sandbox.url, sandbox.port, sandbox.credentials.app_id, …, sandbox.organization_id
--   sandbox:all()                      the counts, decoded
--   sandbox:events { valid = true }    the newest events, decoded: { { event =, errors =, … }, … }
--   sandbox:wait { events = 10, timeout = 5 }    counts and whether they came
--   sandbox:faults { { status = 503, times = 2 } }
--   sandbox:reset(); sandbox:stop()

local cjson = require "cjson"
local http = require "socket.http"
local ltn12 = require "ltn12"

local M = {}

local source = debug.getinfo(1, "S").source:gsub("^@", "")
local ROOT = source:match("^(.*)spec/support/sandbox%.lua$") or "./"

-- A word for the shell.
function M.quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local quote = M.quote

--- The interpreter that runs this spec, as a word for the shell.
function M.lua()
  local lowest = -1
  while arg and arg[lowest - 1] do lowest = lowest - 1 end
  if arg and arg[lowest] then return quote(arg[lowest]) end
  if rawget(_G, "jit") then return "luajit" end
  return "lua" .. _VERSION:match("%d+%.%d+")
end

--- The shell words that run the command of this tree, or of a copy of its folder `lua`, with the
--- interpreter of this spec.
function M.command(lua)
  lua = lua or ROOT .. "lua"
  local paths = string.format("package.path=%q..package.path",
    lua .. "/?.lua;" .. lua .. "/?/init.lua;")
  local command = lua .. "/quickaudience/bin/quickaudience"
  return table.concat({ M.lua(), "-e", quote(paths), quote(command) }, " ")
end

--- A directory of its own with a FIFO in it, and the FIFO's path.
function M.scratch()
  local name = os.tmpname()
  os.remove(name)
  local dir = name .. "-spec"
  os.execute("mkdir -m 700 " .. quote(dir) .. " && mkfifo " .. quote(dir .. "/out"))
  return dir, dir .. "/out"
end

function M.read_file(path)
  local file = io.open(path, "r")
  local text = file and file:read("*a") or ""
  if file then file:close() end
  return text
end

-- The shell ends the sandbox when it reads a line, or when the spec's process is gone and its
-- pipe with it: `read` returns either way. It removes the directory last. A sanitizer that is
-- preloaded into the spec's process has no business in nginx.
local WRAPPER = [[
trap '' INT
unset LD_PRELOAD
%s sandbox --port 0 --print-port %s >%s 2>%s </dev/null &
pid=$!
exec 2>/dev/null
read -r line
kill -TERM $pid 2>/dev/null
wait $pid
rm -rf %s
]]

local Sandbox = {}

-- One HTTP call: the status (or nil and a message), the body, the headers in lower case.
local function call(url, method, body, headers, timeout)
  local chunks = {}
  local all = { ["content-length"] = tostring(#(body or "")) }
  for name, value in pairs(headers or {}) do all[name] = value end
  http.TIMEOUT = timeout or 30
  local ok, status, answered = http.request {
    url = url, method = method, headers = all, redirect = false,
    source = ltn12.source.string(body or ""), sink = ltn12.sink.table(chunks),
  }
  if not ok then return nil, status end
  return status, table.concat(chunks), answered
end

--- One HTTP call to the sandbox.
function Sandbox:request(method, path, body, headers, timeout)
  return call(self.url .. path, method, body, headers, timeout)
end

local function escape(text)
  return (tostring(text):gsub("[^%w%-_.]", function(char)
    return string.format("%%%02X", char:byte())
  end))
end

local function query_of(values)
  local list = {}
  for name, value in pairs(values or {}) do list[#list + 1] = name .. "=" .. escape(value) end
  return #list > 0 and "?" .. table.concat(list, "&") or ""
end

local function decoded(self, method, path, body)
  local status, text = call(self.url .. path, method, body)
  if not status then error("sandbox: " .. tostring(text), 3) end
  if status ~= 200 then error("sandbox: " .. status .. " " .. text, 3) end
  return cjson.decode(text)
end

--- The counts.
function Sandbox:all()
  return decoded(self, "GET", "/sandbox/all")
end

--- The newest events, the oldest of them first. `filter`: valid, limit, since, customer_id, …
function Sandbox:events(filter)
  local query = { limit = 1000000 }
  for name, value in pairs(filter or {}) do query[name] = value end
  return decoded(self, "GET", "/sandbox/events" .. query_of(query)).events
end

--- The newest calls, the oldest of them first.
function Sandbox:calls(limit)
  return decoded(self, "GET", "/sandbox/calls" .. query_of { limit = limit or 1000 }).calls
end

--- Waits for { events = , distinct = , invalid = , requests = , timeout = seconds }.
--- Returns the counts and whether everything came.
function Sandbox:wait(wanted)
  if type(wanted) == "number" then wanted = { events = wanted } end
  local status, text = call(self.url .. "/sandbox/wait" .. query_of(wanted), "GET", nil, nil,
    (wanted.timeout or 10) + 20)
  if status == 200 then return cjson.decode(text), true end
  if status ~= 408 then error("sandbox: " .. tostring(status) .. " " .. tostring(text), 2) end
  return self:all(), false -- LuaSocket reads no body of a 408
end

--- Forgets events, counts and faults.
function Sandbox:reset()
  return decoded(self, "POST", "/sandbox/reset")
end

--- Adds faults (a list, one fault, or { faults = , reject_customer_ids = , … }); without an
--- argument tells which ones wait.
function Sandbox:faults(script)
  if not script then return decoded(self, "GET", "/sandbox/faults") end
  return decoded(self, "POST", "/sandbox/faults", cjson.encode(script))
end

--- Removes faults and rules.
function Sandbox:clear_faults()
  return decoded(self, "DELETE", "/sandbox/faults")
end

--- What it wrote to standard error.
function Sandbox:log()
  return self.stopped and self.last_log or M.read_file(self.log_path)
end

--- Ends it, and returns when its processes and files are gone.
function Sandbox:stop()
  if self.stopped then return end
  self.last_log = M.read_file(self.log_path)
  self.stopped = true
  self.life:write("stop\n")
  self.life:flush()
  self.out:read("*a") -- ends when the last process that holds it is gone
  self.out:close()
  self.life:close()
end

--- Starts a sandbox and waits until it answers.
---@param options table|nil { args = { … } more arguments, credentials = { app_id =, … } }
function M.start(options)
  options = options or {}
  local words = {}
  for i, word in ipairs(options.args or {}) do words[i] = quote(word) end
  local credentials = options.credentials
  if credentials then
    words[#words + 1] = "--credentials " .. quote(table.concat({ credentials.app_id,
      credentials.access_key, credentials.access_secret }, ":"))
  end
  local dir, fifo = M.scratch()
  local script = string.format(WRAPPER, M.command(), table.concat(words, " "), quote(fifo),
    quote(dir .. "/log"), quote(dir))
  local life = assert(io.popen("exec sh -c " .. quote(script), "w"))
  local out = assert(io.open(fifo, "r"))
  local port = tonumber(out:read("*l") or "")
  local self = setmetatable({ life = life, out = out, log_path = dir .. "/log" },
    { __index = Sandbox })
  if not port then
    self:stop()
    error("the sandbox did not start: " .. self:log(), 2)
  end
  self.port = port
  self.url = "http://127.0.0.1:" .. port
  self.credentials = credentials or {
    app_id = "demo-app", access_key = "demo-access-key", access_secret = "demo-access-secret",
  }
  self.organization_id = "demo-organization"
  return self
end

return M
