--- nginx.lua
-- Runs the service inside nginx: reads requests, waits, and puts answers and faults on the wire.
-- Does not know what a valid call is, nor how nginx was started.
-- SPDX-License-Identifier: MIT
--
-- nginx runs as a single process here (`master_process off`), and everything that arrived stands
-- in this Lua VM's memory. That is the simplest store and the fastest: no shared dictionary to
-- encode into, no lock. It suffices, because one process takes far more events than a sandbox
-- needs, and because a sandbox may forget everything when it ends.

local M = {}

local service
local limits

local function read_file(path)
  local file = assert(io.open(path, "r"))
  local text = file:read("*a")
  file:close()
  return text
end

--- Reads the settings that the launcher wrote, and removes them: they hold the secrets.
function M.init()
  local ok, cjson = pcall(require, "cjson.safe")
  if not ok then
    error("quickaudience sandbox: nginx's Lua does not find lua-cjson for Lua 5.1; install "
      .. "lua-cjson (Debian, Ubuntu: apt-get install lua-cjson)", 0)
  end
  local path = ngx.config.prefix() .. "settings.json"
  local settings = assert(cjson.decode(read_file(path)))
  os.remove(path)
  limits = { body = settings.body_limit }
  settings.md5 = ngx.md5_bin
  settings.now = function()
    ngx.update_time()
    return ngx.now()
  end
  service = require("quickaudience.sandbox.service").new(settings)
end

-- nginx's parent is the launcher's shell, which stops nginx when the command ends. Should that
-- shell be killed, nobody else would. The line break wakes the command, which cannot notice a
-- signal while it waits for a line in most Luas.
local function watch_parent(events)
  local ffi = require "ffi"
  ffi.cdef [[ int getppid(void); int getpid(void); int kill(int pid, int signal); ]]
  local parent = ffi.C.getppid()
  assert(ngx.timer.every(0.5, function()
    if ffi.C.getppid() ~= parent then ffi.C.kill(ffi.C.getpid(), 15) end
    events:write("\n")
  end))
end

--- Tells the launcher that requests are taken: the socket listens since before this runs.
function M.start()
  local events = assert(io.open(ngx.config.prefix() .. "events", "w"))
  events:setvbuf("no")
  watch_parent(events)
  events:write("ready\n")
end

local function log_refusal(answer, path)
  if answer.code then
    ngx.log(ngx.NOTICE, path, ": ", answer.close and "closed" or answer.status, " ", answer.code)
  end
end

-- The answer without its end. nginx would mend the Content-Length, so it goes past nginx.
local function send_cut(answer, date)
  local socket = ngx.req.socket(true)
  if not socket then return ngx.exit(444) end
  local lines = {
    "HTTP/1.1 " .. answer.status .. " Sandbox",
    "Date: " .. date,
    "Content-Type: application/json",
    "Content-Length: " .. #answer.body,
  }
  for name, value in pairs(answer.headers) do lines[#lines + 1] = name .. ": " .. value end
  socket:send(table.concat(lines, "\r\n") .. "\r\n\r\n" .. answer.body:sub(1, answer.cut))
  return ngx.exit(444)
end

local function send(answer)
  local date = ngx.http_time(math.floor(ngx.time() + (answer.date_skew or 0)))
  if answer.cut then return send_cut(answer, date) end
  ngx.status = answer.status
  ngx.header["Content-Type"] = "application/json"
  ngx.header["Date"] = date
  for name, value in pairs(answer.headers) do ngx.header[name] = value end
  ngx.header["Content-Length"] = #answer.body
  if ngx.req.get_method() ~= "HEAD" then ngx.print(answer.body) end
  return ngx.exit(ngx.HTTP_OK)
end

local function wait(pending)
  local deadline = ngx.now() + pending.timeout
  local came = pending.wait()
  while not came and ngx.now() < deadline do
    ngx.sleep(0.02)
    came = pending.wait()
  end
  return pending.answer(came)
end

local function read_body()
  ngx.req.read_body()
  local body = ngx.req.get_body_data()
  if body then return body end
  -- nginx puts a body into a file only when it does not fit the buffer, which is as large as the
  -- largest body taken; this is for a build that thinks otherwise.
  local path = ngx.req.get_body_file()
  return path and read_file(path) or ""
end

--- Handles one request.
function M.handle()
  local request = {
    method = ngx.req.get_method(), path = ngx.var.uri,
    query = ngx.req.get_uri_args(100), headers = ngx.req.get_headers(100), body = read_body(),
  }
  local answer = service:handle(request)
  if answer.wait then answer = wait(answer) end
  log_refusal(answer, request.path)
  if answer.delay then ngx.sleep(answer.delay) end
  if answer.close then return ngx.exit(444) end
  return send(answer)
end

--- Answers what nginx itself refused before it became a request of ours.
function M.refuse()
  local status = ngx.status
  local code, message = "BAD_REQUEST", "request: nginx could not read it"
  if status == 413 then
    code = "BODY_TOO_LARGE"
    message = string.format("body: larger than %d bytes", limits.body)
  elseif status == 414 then
    code, message = "BAD_REQUEST", "request: the line is too long"
  end
  return send(service:failure(status, code, message))
end

return M
