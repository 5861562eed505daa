-- game.lua
-- Builds the game server of the examples for a spec, starts it, signals it and reads its account.
-- Does not know what is checked.
-- SPDX-License-Identifier: MIT
local sandboxes = require "spec.support.sandbox"
local shell = require "support.shell"
local socket = require "socket"

local M = {}

-- As the Makefile's variant of the module is built: a sanitized module needs a sanitized host.
M.TSAN = "-O1 -g -fno-omit-frame-pointer -fsanitize=thread"

local EXAMPLE = "examples/game_server"

local function version()
  if rawget(_G, "jit") then return "luajit" end
  return _VERSION:match("%d+%.%d+")
end

--- Asks until it is so, for ten seconds at most.
function M.wait_for(condition)
  local deadline = socket.gettime() + 10
  repeat
    if condition() then return true end
    socket.select(nil, nil, 0.02)
  until socket.gettime() > deadline
  return false
end

--- The numbers of the server's account.
function M.account(output)
  local account = {}
  for name, value in output:gmatch("(%l+) (%d+)") do account[name] = tonumber(value) end
  local times = output:match("processor time[^\n]*") or ""
  account.p99 = tonumber(times:match("p99 ([%d.]+)"))
  account.p999 = tonumber(times:match("p99%.9 ([%d.]+)"))
  return account
end

local Run = {}
local run_mt = { __index = Run }

function Run:signal(name)
  shell.check("kill -" .. name .. " " .. self.pid)
end

--- Reads on until a line of its output fits the pattern.
function Run:read_until(pattern)
  repeat
    local line = self.pipe:read("*l")
    self.output = self.output .. (line or "") .. "\n"
    assert(line, pattern .. " is missing in: " .. self.output)
  until line:find(pattern)
end

--- Ends the process without giving it a chance; what it printed.
function Run:kill()
  self:signal("KILL")
  return (self:finish())
end

--- The number of each room's last event that it said is saved.
function M.saved(output)
  local saved = {}
  for room, number in output:gmatch("room (%d+) saved (%d+)\n") do
    saved[room] = tonumber(number)
  end
  return saved
end

--- Which of the events 1 to `saved` of each room of the server `name` have not arrived, as text.
function M.missing(sandbox, name, saved)
  local there, missing = {}, {}
  for _, kept in ipairs(sandbox:events()) do
    local attributes = kept.event.extendAttributes
    if attributes.server == name then
      there[kept.event.customerId:match("^r(%d+)") .. "/" .. attributes.number] = true
    end
  end
  for room, last in pairs(saved) do
    for number = 1, last do
      local event = room .. "/" .. number
      if not there[event] then missing[#missing + 1] = event .. " of " .. last end
    end
  end
  return table.concat(missing, ", ", 1, math.min(#missing, 10))
end

--- Waits until it has ended: what it printed, and its exit status.
function Run:finish()
  local rest, status = self.pipe:read("*a"):match("^(.*)status (%d+)\n$")
  self.pipe:close()
  return self.output .. (rest or ""), tonumber(status)
end

local Game = {}
local game_mt = { __index = Game }

--- Builds it into a folder of its own, with a copy of its scripts.
--- @param flags string|nil for the compiler
function M.build(flags)
  -- A sanitized module needs a sanitized host.
  if not flags and package.cpath:find("/build/asan-", 1, true) then
    flags = "-O1 -g -fsanitize=address,undefined"
  end
  local folder = shell.folder()
  local self = setmetatable({ folder = folder, program = folder .. "/game_server" }, game_mt)
  shell.check(string.format("make -s -C %s OUT=%s LUA_VERSION=%s %s", EXAMPLE, self.program,
    version(), flags and "CFLAGS=" .. shell.quote(flags) or ""))
  self:restore()
  return self
end

--- Builds the module for ThreadSanitizer; the shell words that let the server find it.
function M.tsan_module()
  local folder = "build/tsan-" .. version()
  shell.check(string.format("make -s -j2 LUA_VERSION=%s %s/quickaudience/core.so", version(),
    folder))
  -- Lua 5.2 and later read the variable with their number first.
  return string.format("env -u LUA_CPATH_%s TSAN_OPTIONS=halt_on_error=1 LUA_CPATH=%s",
    (version():gsub("%.", "_")), shell.quote(folder .. "/?.so;;"))
end

--- Starts it; unless `words` say otherwise it ends after 15 seconds. `prefix`: shell words that run
--- it, `words`: its options.
function Game:start(options)
  local script = string.format("echo $$; exec env QUICKAUDIENCE_ENDPOINT=%s %s %s --scripts %s "
    .. "--seconds 15 %s", options.endpoint, options.prefix or "", self.program, self.folder,
    options.words or "")
  local pipe = assert(io.popen("(sh -c " .. shell.quote(script)
    .. ' 2>&1 </dev/null; echo "status $?")', "r"))
  local run = setmetatable({ pipe = pipe, pid = pipe:read("*l"), output = "" }, run_mt)
  -- Its first line says that signals are taken.
  repeat
    local line = pipe:read("*l")
    run.output = run.output .. (line or "") .. "\n"
  until not line or line:find("playing", 1, true) or line:find("^game_server:")
  return run
end

--- Starts it with the spool of those that were killed, and lets it play until their files are
--- gone. What it printed, and its exit status.
function Game:succeed(options, spool)
  local left = shell.lines("find " .. shell.quote(spool) .. " -name '*.db'")
  local run = self:start(options)
  local gone = M.wait_for(function()
    for _, path in ipairs(left) do
      local file = io.open(path)
      if file then return file:close() and false end
    end
    return true
  end)
  run:signal("TERM")
  local output, status = run:finish()
  assert(gone, "files are left in the spool: " .. output)
  return output, status
end

function Game:restore()
  shell.check(string.format("cp %s/*.lua %s/", EXAMPLE, self.folder))
end

--- Replaces a text of the rules, in one step.
function Game:change(before, after)
  local path = self.folder .. "/rules.lua"
  local text = sandboxes.read_file(path)
  local first, last = text:find(before, 1, true)
  assert(first, before)
  local file = assert(io.open(path .. ".new", "w"))
  file:write(text:sub(1, first - 1), after, text:sub(last + 1))
  file:close()
  assert(os.rename(path .. ".new", path))
end

function Game:remove()
  shell.check("rm -rf " .. shell.quote(self.folder))
end

return M
