--- nginx_load.lua
-- Sends a site requests that can be told apart, in the background, and tells which were served.
-- Does not know what the site does with them.
-- SPDX-License-Identifier: MIT
--
--   local load = require("spec.support.nginx_load").start(site, { from = 1, count = 1000 })
--   local served, ids = load:finish()      -- each request is GET /?u=ID
--
-- A site that has M.LOG_FORMAT in http and M.LOG in a location also writes down what it logged:
--
--   local logged = require("spec.support.nginx_load").logged(site)

local shell = require "spec.support.shell"

local M = {}

local Load = {}
Load.__index = Load

-- nginx writes this line after log_by_lua has run: what stands there was reported before.
M.LOG_FORMAT = "log_format seen '$msec $pid $status $arg_u';"
M.LOG = "access_log seen.log seen;"

-- The status and the address of each request; curl's globbing makes the addresses.
local COMMAND = "curl -q -s --noproxy '*' --parallel --parallel-immediate --parallel-max %d "
  .. "--max-time 20 -o /dev/null -w '%%{http_code} %%{url_effective}\\n' '%s%s?u=[%s-%s]' "
  .. "2>/dev/null"

-- Into a file, which is read at the end: a pipe would fill up, and the load stand still.
local function run_to_file(site, script)
  site.loads = (site.loads or 0) + 1
  local path = site.dir .. "/load." .. site.loads
  return setmetatable({ pipe = io.popen("{ " .. script .. "\n} >" .. path), path = path }, Load)
end

local function command_of(site, options)
  return COMMAND:format(options.connections or 4, site.url, options.path or "/", options.from,
    options.last)
end

---@param site table of spec.support.nginx
---@param options { from: integer, count: integer, connections: integer, path: string }
function M.start(site, options)
  options.last = options.from + options.count - 1
  return run_to_file(site, command_of(site, options))
end

--- Goes on until it is told to finish.
---@param site table
---@param options { from: integer, connections: integer, path: string }|nil
function M.endless(site, options)
  options = options or {}
  local from = options.from or 1000
  local stop = site.dir .. "/stop." .. from
  options.from, options.last = "$from", "$((from + 199))"
  os.remove(stop)
  local command = command_of(site, options):gsub("'(http[^']*)'", '"%1"')
  -- While nobody serves, it does not burn the processor with calls that are refused.
  local served = "curl -q -sf --noproxy '*' -o /dev/null " .. site.url .. "/health"
  local script = "from=" .. from .. "; while [ ! -e " .. stop .. " ]; do " .. served
    .. " || continue; " .. command .. "; from=$((from + 200)); done"
  local self = run_to_file(site, script)
  self.stop = stop
  return self
end

--- Waits for its end: how many were answered with 200, and the set of their ids.
function Load:finish()
  if self.stop then assert(io.open(self.stop, "w")):close() end
  self.pipe:read("*a")
  self.pipe:close()
  local served, ids, unanswered = 0, {}, 0
  for line in io.lines(self.path) do
    local id = line:match("^200 .*u=(%d+)$")
    if id and not ids[id] then
      served, ids[id] = served + 1, true
    else
      unanswered = unanswered + 1
    end
  end
  self.unanswered = unanswered
  return served, ids
end

--- start and finish.
function M.run(site, options)
  return M.start(site, options):finish()
end

local WRK = [[
local id = 1000
function request()
  id = id + 1
  return wrk.format("GET", "/?u=" .. id)
end
]]

-- It is told to finish, or has done so by itself.
local WRK_SCRIPT = "wrk -t1 -c%d -d120s -s %s '%s' 2>&1 & pid=$!; "
  .. "while [ ! -e %s ] && kill -0 $pid 2>/dev/null; do sleep 0.1; done; "
  .. "kill -INT $pid 2>/dev/null; wait $pid"

local Wrk = {}
Wrk.__index = Wrk

--- Steadier than `endless`, but wrk does not tell which requests were served. Nil where there is no
--- wrk.
---@param site table
---@param connections integer
function M.wrk(site, connections)
  if select(2, shell.run("command -v wrk")) ~= 0 then return nil end
  local stop = site.dir .. "/stop.wrk"
  site:write("wrk.lua", WRK)
  return setmetatable({ stop = stop, pipe = io.popen(WRK_SCRIPT:format(connections,
    site.dir .. "/wrk.lua", site.url, stop)) }, Wrk)
end

--- Waits for its end: how many were answered, and what wrk said.
function Wrk:finish()
  assert(io.open(self.stop, "w")):close()
  local text = self.pipe:read("*a")
  self.pipe:close()
  return tonumber(text:match("(%d+) requests in")), text
end

--- What the site itself wrote down, by id: { time = seconds since 1970, pid =, status = }.
---@return table<string, { time: number, pid: integer, status: integer }>
---@return integer count
function M.logged(site)
  local found, count = {}, 0
  for line in (site:file("seen.log") or ""):gmatch("[^\n]+") do
    local time, pid, status, id = line:match("^(%S+) (%d+) (%d+) (%d+)$")
    if id and not found[id] then
      count = count + 1
      found[id] = { time = tonumber(time), pid = tonumber(pid), status = tonumber(status) }
    end
  end
  return found, count
end

return M
