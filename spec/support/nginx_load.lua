--- nginx_load.lua
-- Sends a site requests that can be told apart, in the background, and tells which were served.
-- Does not know what the site does with them.
-- SPDX-License-Identifier: MIT
--
--   local load = require("spec.support.nginx_load").start(site, { from = 1, count = 1000 })
--   local served, ids = load:finish()      -- each request is GET /?u=ID

local shell = require "spec.support.shell"

local M = {}

local Load = {}
Load.__index = Load

-- The status and the address of each request; curl's globbing makes the addresses.
local COMMAND = "curl -q -s --noproxy '*' --parallel --parallel-max %d -o /dev/null --max-time 20 "
  .. "-w '%%{http_code} %%{url_effective}\\n' %s'%s/?u=[%d-%d]' 2>/dev/null"

---@param site table of spec.support.nginx
---@param options { from: integer, count: integer, connections: integer, retry: boolean }
function M.start(site, options)
  local retry = options.retry and "--retry 20 --retry-connrefused --retry-delay 1 " or ""
  local command = COMMAND:format(options.connections or 4, retry, site.url, options.from,
    options.from + options.count - 1)
  return setmetatable({ pipe = io.popen(command) }, Load)
end

--- Waits for its end: how many were answered with 200, and the set of their ids.
function Load:finish()
  local served, ids = 0, {}
  for line in self.pipe:lines() do
    local id = line:match("^200 .*u=(%d+)$")
    if id and not ids[id] then served, ids[id] = served + 1, true end
  end
  self.pipe:close()
  return served, ids
end

--- start and finish.
function M.run(site, options)
  return M.start(site, options):finish()
end

--- A steady load of many connections for some seconds, by wrk; nil where there is no wrk.
function M.has_wrk()
  return select(2, shell.run("command -v wrk")) == 0
end

return M
