--- launcher.lua
-- Finds nginx, gives it a directory of its own, runs it in the foreground and cleans up.
-- Does not know what the sandbox answers, nor how the command line is spelt.
-- SPDX-License-Identifier: MIT
--
-- Who ends whom: the command (this Lua) starts a shell through a pipe and keeps the pipe open;
-- the shell starts nginx. When the command ends in whatever way, even by kill -9, the pipe ends,
-- and the shell stops nginx and removes the directory. When the shell is killed, nginx sees that
-- its parent is another and stops. The command in turn waits for the end of a FIFO that the
-- shell holds open, on which nginx says when it is ready.

local cjson = require "cjson"
local conf = require "quickaudience.sandbox.conf"

local M = {}

-- $1 the directory, $2 nginx, the rest further arguments for it. Standard input: one line of
-- settings, then nothing until the command is gone. The settings reach their file through a
-- here-document, so they are in no process's arguments.
local SUPERVISE = [[
supervise() {
  umask 077
  dir=$1
  program=$2
  shift 2
  exec 3<>"$dir/events" 4<&0 </dev/null
  IFS= read -r settings <&4 || { rm -rf "$dir"; return 1; }
  cat >"$dir/settings.json" <<EOF
$settings
EOF
  settings=
  "$program" -p "$dir/" -c nginx.conf "$@" 3>&- 4<&- &
  nginx=$!
  trap 'kill -TERM $nginx 2>/dev/null' INT TERM HUP
  (
    trap - INT TERM HUP
    read -r gone <&4
    kill -TERM $nginx 2>/dev/null
    tries=0
    while kill -0 $nginx 2>/dev/null && [ $tries -lt 30 ]; do
      tries=$((tries + 1))
      sleep 0.1
    done
    kill -KILL $nginx 2>/dev/null
  ) 3>&- >/dev/null 2>&1 &
  watch=$!
  wait $nginx
  status=$?
  while kill -0 $nginx 2>/dev/null; do
    wait $nginx
    status=$?
  done
  kill $watch 2>/dev/null
  rm -rf "$dir"
  echo "exit $status" >&3
  return 0
}
supervise "$@"
exit
]]

local MISSING = [[
no nginx with the Lua module was found.
  Debian, Ubuntu:  apt-get install nginx libnginx-mod-http-lua lua-cjson
  elsewhere:       install OpenResty (https://openresty.org/), or name the program with --nginx]]

local PLACES = {
  "openresty", "nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx",
  "/usr/local/openresty/bin/openresty", "/usr/local/openresty/nginx/sbin/nginx",
  "/opt/openresty/nginx/sbin/nginx", "/usr/local/nginx/sbin/nginx",
}

-- A word for the shell.
local function shell_quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function output_of(command)
  local pipe = io.popen(command, "r")
  if not pipe then return "" end
  local text = pipe:read("*a") or ""
  pipe:close()
  return text
end

local function succeeds(command)
  local ok, _, code = os.execute(command)
  if type(ok) == "number" then return ok == 0 end -- Lua 5.1
  return ok == true and (code == nil or code == 0)
end

local function exists(path)
  local file = io.open(path, "r")
  if file then file:close() end
  return file ~= nil
end

-- The dynamic modules that this nginx needs for Lua: an empty list when Lua is compiled in, nil
-- when there is none.
local function lua_modules(configured)
  if configured:match("%-%-add%-module=%S*ngx_lua")
    or configured:match("%-%-add%-module=%S*lua%-nginx%-module") then
    return {}
  end
  -- Only nginx's own place will do: the module of another nginx does not load.
  local place = configured:match("%-%-modules%-path=(%S+)")
  if not place then
    place = (configured:match("%-%-prefix=(%S+)") or "/usr/local/nginx") .. "/modules"
  end
  local lua, ndk = place .. "/ngx_http_lua_module.so", place .. "/ndk_http_module.so"
  if not exists(lua) then return nil end
  return exists(ndk) and { ndk, lua } or { lua }
end

-- Arguments that keep nginx from opening its usual error log before it has read the
-- configuration. They are known since 1.19.5; an older nginx only warns that it may not open it.
local function log_arguments(configured)
  local a, b, c = configured:match("nginx version: %S-/(%d+)%.(%d+)%.(%d+)")
  if not a then return "" end
  local version = (tonumber(a) * 1000 + tonumber(b)) * 1000 + tonumber(c)
  return version >= 1019005 and "-e stderr" or ""
end

--- Finds an nginx that runs Lua.
---@param wanted string|nil the program the user named
---@return table|nil found { program, configured, modules, arguments }
---@return string|nil message
function M.find(wanted)
  local seen
  for _, name in ipairs(wanted and { wanted } or PLACES) do
    local program = output_of("command -v " .. shell_quote(name) .. " 2>/dev/null"):match("^[^\n]+")
    if program then
      seen = program
      local configured = output_of(shell_quote(program) .. " -V 2>&1")
      local modules = lua_modules(configured)
      if modules then
        return { program = program, configured = configured, modules = modules,
          arguments = log_arguments(configured) }
      end
    end
  end
  if wanted and not seen then return nil, "there is no program '" .. wanted .. "'" end
  if seen then return nil, string.format("'%s' has no Lua module; %s", seen, MISSING) end
  return nil, MISSING
end

-- The directories in which this file's package is found, and where LuaJIT finds lua-cjson: the
-- running Lua may be another version, so its places are tried with 5.1 in their names as well.
local function package_paths()
  local source = debug.getinfo(1, "S").source:gsub("^@", "")
  local root = source:match("^(.*)/quickaudience/sandbox/launcher%.lua$")
  local lua = { root and (root == "" and "/" or root) .. "/?.lua",
    root and root .. "/?/init.lua" }
  local c, seen = {}, {}
  for place in package.cpath:gmatch("[^;]+") do
    local other = place:gsub("/5%.%d", "/5.1")
    if other:sub(1, 1) == "/" and other:find("/5.1/", 1, true) and not seen[other] then
      seen[other] = true
      c[#c + 1] = other
    end
  end
  return table.concat(lua, ";"), table.concat(c, ";")
end

local PROC_LISTENING = "^%s*%d+: (%x+):(%x+) %x+:%x+ 0A"

-- The ports somebody listens on, as far as the machine tells (Linux).
local function ports_in_use()
  local ports = {}
  for _, path in ipairs { "/proc/net/tcp", "/proc/net/tcp6" } do
    local file = io.open(path, "r")
    if file then
      for line in file:lines() do
        local _, port = line:match(PROC_LISTENING)
        if port then ports[tonumber(port, 16)] = true end
      end
      file:close()
    end
  end
  return ports
end

-- A number that two commands started in the same instant do not share.
local function unpredictable()
  local file = io.open("/dev/urandom", "rb")
  local bytes = file and file:read(4)
  if file then file:close() end
  if not bytes then return os.time() end
  local a, b, c, d = bytes:byte(1, 4)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

-- Below the range from which Linux takes the ports of outgoing connections.
local LOWEST, COUNT = 20000, 12000

local function free_port()
  local used = ports_in_use()
  local start = unpredictable()
  for i = 0, COUNT - 1 do
    local port = LOWEST + (start + i) % COUNT
    if not used[port] then return port end
  end
  return nil
end

local function make_directory()
  local name = os.tmpname()
  os.remove(name)
  local base = os.getenv("TMPDIR")
  if not base or base == "" then base = "/tmp" end
  local path = base:gsub("/+$", "") .. "/quickaudience-sandbox-" .. name:match("[^/]*$")
  -- mkdir fails on anything that is there already, so nobody can have prepared the place.
  local quoted = shell_quote(path)
  if succeeds("mkdir -m 700 " .. quoted .. " && mkfifo -m 600 " .. quoted .. "/events") then
    return path
  end
  return nil, "cannot make the directory '" .. path .. "'"
end

local function write_file(path, text)
  local file, message = io.open(path, "w")
  if not file then return nil, message end
  local ok
  ok, message = file:write(text)
  file:close()
  return ok, message
end

---@class quickaudience.sandbox.launcher.options
---@field host string
---@field port integer 0: any free one
---@field nginx string|nil
---@field log_level string
---@field settings table what sandbox/nginx.lua reads: credentials and the service's options
---@field on_ready fun(host: string, port: integer)

-- Writes the directory's files and returns the command that supervises nginx in it.
local function prepare(dir, found, options, port)
  local lua, c = package_paths()
  local host = options.host
  if host:find(":", 1, true) then host = "[" .. host .. "]" end
  local ok, message = write_file(dir .. "/nginx.conf", conf.render {
    load_modules = found.modules, configured = found.configured,
    listen = host .. ":" .. port, body_limit = options.settings.body_limit,
    log_level = options.log_level, package_path = lua, package_cpath = c,
  })
  if ok then ok, message = write_file(dir .. "/supervise.sh", SUPERVISE) end
  if not ok then return nil, message end
  return string.format("exec sh %s %s %s %s", shell_quote(dir .. "/supervise.sh"),
    shell_quote(dir), shell_quote(found.program), found.arguments)
end

-- Reads what the shell and nginx say until both are gone, or until somebody interrupts. Ctrl-C
-- reaches all processes of the terminal at once, `kill -INT` only this one; Lua turns both into
-- an error here.
local function follow(events, on_ready)
  local ready, status = false, nil
  local function read()
    for line in events:lines() do
      if line == "ready" then
        ready = true
        on_ready()
      elseif line:match("^exit ") then
        status = tonumber(line:match("%d+"))
      end
    end
  end
  -- Where the signal cuts the reading short, Lua's own error follows some instructions later: the
  -- outer call catches the one that comes last.
  local ok, message = pcall(function()
    local done, reason = pcall(read)
    if not done then error(reason, 0) end
  end)
  if not ok then
    if not tostring(message):lower():find("interrupted", 1, true) then error(message, 0) end
    return true, 0
  end
  return ready, status
end

local function run_in(dir, found, options, port)
  local command, message = prepare(dir, found, options, port)
  if not command then return nil, message end
  local life = io.popen(command, "w")
  if not life then return nil, "cannot start a shell" end
  life:write(cjson.encode(options.settings), "\n")
  life:flush()
  local events = io.open(dir .. "/events", "r")
  if not events then
    life:close()
    return nil, "cannot open the FIFO in '" .. dir .. "'"
  end
  local ready, status = follow(events, function() options.on_ready(options.host, port) end)
  life:close() -- ends the pipe, and returns when the shell has cleaned up
  events:close()
  return ready, status
end

--- Runs a sandbox until it ends.
---@param options quickaudience.sandbox.launcher.options
---@return boolean|nil ok
---@return string|nil message
function M.run(options)
  local found, message = M.find(options.nginx)
  if not found then return nil, message end
  local port = options.port
  if port == 0 then
    port = free_port()
    if not port then return nil, "no free port was found" end
  elseif ports_in_use()[port] then
    return nil, string.format("port %d is in use; choose another with --port, or --port 0 for "
      .. "any free one", port)
  end
  local dir
  dir, message = make_directory()
  if not dir then return nil, message end
  local done, ready, status = pcall(run_in, dir, found, options, port)
  os.execute("rm -rf " .. shell_quote(dir))
  if not done then return nil, tostring(ready) end
  if ready == nil then return nil, status end
  if not ready then
    return nil, "nginx did not start; what it said stands above"
  end
  return status == 0 or nil, status ~= 0 and "nginx ended with status " .. tostring(status) or nil
end

return M
