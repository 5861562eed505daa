--- nginx.lua
-- Runs a site in a real nginx for a spec: on a free port, in a folder of its own, with this module.
-- Does not know what a spec wants to see.
-- SPDX-License-Identifier: MIT
--
--   local site = require("spec.support.nginx").start {
--     http = "lua_shared_dict …; init_by_lua_block { … }", server = "location / { … }" }
--   site:get("/path")           status, body
--   site:signal("HUP")          to the master; site:workers() their process ids
--   site:log(), site:wait_log("text"), site:stop("QUIT")

local http = require "socket.http"
local launcher = require "quickaudience.sandbox.launcher"
local ltn12 = require "ltn12"
local shell = require "spec.support.shell"
local socket = require "socket"

local M = {}

local ROOT = shell.lines("pwd")[1]

--- The module's place, as nginx wants it. Its Lua is LuaJIT, whichever Lua runs this spec; the
--- module for it is built once.
---@return string
function M.build()
  if not M.cpath then
    M.cpath = os.getenv("QUICKAUDIENCE_NGINX_CPATH")
      or (shell.check("env -u MAKEFLAGS -u MFLAGS make -s LUA_VERSION=luajit all") and
        ROOT .. "/build/luajit/?.so")
  end
  return M.cpath
end

--- Calls `test` until it returns something true, and returns that; nil after `seconds`.
---@param seconds number
---@param test fun(): any
function M.wait_for(seconds, test)
  local until_ = socket.gettime() + seconds
  repeat
    local found = test()
    if found then return found end
    socket.select(nil, nil, 0.02)
  until socket.gettime() > until_
  return test() or nil
end

local function write_file(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local CONF = [[
%s
daemon %s;
master_process %s;
worker_processes %d;
pid nginx.pid;
error_log error.log notice;
%s
events { worker_connections 512; }
http {
  access_log off;
  lua_package_path "%s/?.lua;%s/lua/?.lua;%s/lua/?/init.lua;;";
  lua_package_cpath "%s;;";
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  keepalive_requests 1000000;
  %s
  server {
    listen 127.0.0.1:%d;
    location = /health { return 200; }
    %s
  }
}
]]

local Site = {}
Site.__index = Site

function Site:get(path, headers, timeout)
  local chunks = {}
  http.TIMEOUT = timeout or 20
  local ok, status, answered = http.request { url = self.url .. path, headers = headers,
    redirect = false, sink = ltn12.sink.table(chunks) }
  if not ok then return nil, status end
  return status, table.concat(chunks), answered
end

function Site:file(name)
  local file = io.open(self.dir .. "/" .. name, "r")
  if not file then return nil end
  local text = file:read("*a")
  file:close()
  return text
end

function Site:log()
  return self:file("error.log") or ""
end

--- How many lines of the error log hold the text.
function Site:count_log(text)
  local count = 0
  for line in self:log():gmatch("[^\n]+") do
    if line:find(text, 1, true) then count = count + 1 end
  end
  return count
end

function Site:wait_log(text, seconds)
  return M.wait_for(seconds or 5, function() return self:count_log(text) > 0 end)
end

--- Lines that tell of a death: by a signal, or of nginx's own complaint about a Lua that failed.
function Site:deaths()
  local lines = {}
  for line in self:log():gmatch("[^\n]+") do
    if line:find("exited on signal", 1, true) or line:find("exited with code [1-9]")
      or line:find("lua entry thread aborted", 1, true)
      or line:find("[alert]", 1, true) and not line:find("lua_code_cache is off", 1, true) then
      lines[#lines + 1] = line
    end
  end
  return lines
end

function Site:master()
  return tonumber(self:file("nginx.pid") or "")
end

--- Process ids of the workers that serve; those that are about to exit are left out.
function Site:workers(all)
  local ids = {}
  for _, line in ipairs(shell.lines("ps -o pid=,args= --ppid " .. self.pid .. " || true")) do
    local id, args = line:match("^%s*(%d+) (.*)$")
    if args and args:find("worker process", 1, true)
      and (all or not args:find("shutting down", 1, true)) then
      ids[#ids + 1] = tonumber(id)
    end
  end
  table.sort(ids)
  return ids
end

function Site:signal(name, pid)
  shell.run("kill -" .. name .. " " .. (pid or self.pid))
end

-- Whoever adopted the daemon may take a while to notice that it has ended.
function Site:is_running()
  local file = io.open("/proc/" .. self.pid .. "/stat", "r")
  local state = file and file:read("*a"):match("%) (%a)")
  if file then file:close() end
  return state ~= nil and state ~= "Z"
end

function Site:serves()
  local status = self:get("/health", nil, 1)
  return status == 200 or status == 204
end

--- Reloads, and waits until other workers serve.
function Site:reload()
  local before = {}
  for _, id in ipairs(self:workers()) do before[id] = true end
  self:signal("HUP")
  return M.wait_for(10, function()
    local fresh = 0
    for _, id in ipairs(self:workers()) do
      if before[id] then return false end
      fresh = fresh + 1
    end
    return fresh == self.worker_count
  end)
end

--- Ends nginx with a signal (TERM unless told) and waits until it is gone.
---@return boolean ended in time
function Site:finish(name, seconds)
  if self.pid and self:is_running() then self:signal(name or "TERM") end
  return M.wait_for(seconds or 10, function() return not self:is_running() end) ~= nil
end

--- Starts it (again), in the same folder.
function Site:start()
  local wrapper = self.wrapper and self.wrapper .. " " or ""
  local command = string.format("cd %s && %s%s -p . -c nginx.conf %s%s", shell.quote(self.dir),
    wrapper, self.found.program, self.found.arguments:gsub("stderr", "error.log"),
    self.daemon and "" or " >>start.log 2>&1 &")
  local output, status = shell.run("unset LD_PRELOAD ASAN_OPTIONS; " .. command)
  self.started = status == 0 and M.wait_for(self.wrapper and 60 or 10, function()
    self.pid = self:master()
    return self.pid and self:serves()
  end)
  if not self.started then
    error("nginx did not start: " .. output .. (self:file("start.log") or "") .. self:log(), 2)
  end
  return self
end

--- Ends nginx, whatever state it is in, and removes its folder.
function Site:stop()
  if self.pid and not self:finish("TERM", 8) then
    for _, id in ipairs(self:workers(true)) do self:signal("KILL", id) end
    self:signal("KILL")
  end
  os.execute("rm -rf " .. shell.quote(self.dir))
end

--- Writes one more file into the site's folder: a Lua module, for instance.
function Site:write(name, text)
  write_file(self.dir .. "/" .. name, text)
end

--- (Re)writes the configuration.
function Site:configure(options)
  local load = {}
  for _, path in ipairs(self.found.modules) do load[#load + 1] = "load_module " .. path .. ";" end
  self.worker_count = options.workers or 1
  self:write("nginx.conf", CONF:format(table.concat(load, "\n"), self.daemon and "on" or "off",
    options.master or "on", self.worker_count, options.main or "user root;", self.dir, ROOT, ROOT,
    M.build(), options.http or "", self.port, options.server or ""))
end

local function free_port()
  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  server:close()
  return tonumber(port)
end

---@param options { http: string, server: string, main: string, workers: integer, files: table,
---  daemon: boolean, master: string, wrapper: string }
function M.start(options)
  local site = setmetatable({ daemon = options.daemon ~= false, wrapper = options.wrapper },
    Site)
  site.found = assert(launcher.find())
  site.dir = shell.folder()
  shell.check("chmod 755 " .. shell.quote(site.dir))
  site.port = free_port()
  site.url = "http://127.0.0.1:" .. site.port
  for name, text in pairs(options.files or {}) do site:write(name, text) end
  site:configure(options)
  local ok, message = pcall(site.start, site)
  if not ok then
    site:stop()
    error(message, 2)
  end
  return site
end

--- Runs an example's nginx.conf as it stands, but for its port and for where the library is.
---@param folder string
---@param environment table<string, string> of QUICKAUDIENCE_…
---@param foreground boolean|nil its configuration says `daemon off`
function M.start_example(folder, environment, foreground)
  local site = setmetatable({ daemon = not foreground, worker_count = 2 }, Site)
  site.found = assert(launcher.find())
  site.dir = shell.folder()
  shell.check(string.format("chmod 755 %s && cp %s/* %s", site.dir, folder, site.dir))
  site.port = free_port()
  site.url = "http://127.0.0.1:" .. site.port
  local load = {}
  for _, path in ipairs(site.found.modules) do load[#load + 1] = "load_module " .. path .. ";\n" end
  site:write("modules.conf", table.concat(load) .. "user root;\n")
  local text = site:file("nginx.conf"):gsub("127%.0%.0%.1:8080", "127.0.0.1:" .. site.port)
    :gsub('lua_package_path "', 'lua_package_cpath "' .. M.build() .. ';;"; %0' .. ROOT
      .. "/lua/?.lua;" .. ROOT .. "/lua/?/init.lua;")
  site:write("nginx.conf", text)
  local words = {}
  for name, value in pairs(environment) do
    words[#words + 1] = "QUICKAUDIENCE_" .. name .. "=" .. shell.quote(value)
  end
  site.wrapper = "env " .. table.concat(words, " ")
  local ok, message = pcall(site.start, site)
  if not ok then
    site:stop()
    error(message, 2)
  end
  return site
end

--- The Lua table of a configuration for this sandbox, as text; `more` is added to it.
function M.config(sandbox, more)
  local c = sandbox.credentials
  return string.format("{ endpoint = %q, app_id = %q, access_key = %q, access_secret = %q, "
    .. "organization_id = %q, %s }", sandbox.url, c.app_id, c.access_key, c.access_secret,
    sandbox.organization_id, more or "")
end

return M
