--- nginx.lua
-- What reporting a page view costs nginx's requests, beside what others cost, by wrk.
-- Does not know how nginx was found; site.conf is what it runs.
-- SPDX-License-Identifier: MIT
--
-- nginx.lua UPSTREAM SERVICE FOLDER    each host:port of bench/nginx.conf: one is proxied to, one
-- takes the events. BENCH_ROUNDS, BENCH_SECONDS
local launcher = require "quickaudience.sandbox.launcher"
local rows = require "bench.rows"

local upstream, service, folder = arg[1], arg[2], arg[3]
local rounds = tonumber(os.getenv("BENCH_ROUNDS")) or 5
local seconds = tonumber(os.getenv("BENCH_SECONDS")) or 2

local RPS_TARGET, P99_TARGET = 0.75, 1.25
local KINDS = { "empty", "hook", "away", "peer", "log" }
local NAMES = { hook = "hook", away = "hook, service away", peer = "cjson + timer + cosocket",
  log = "access_log line" }
local PLACES = { { "lean", "return 200" }, { "proxy", "proxy_pass" } }

local function output_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("*a")
  pipe:close()
  return text
end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

local function start()
  local found = assert(launcher.find())
  local load = {}
  for i, path in ipairs(found.modules) do load[i] = "load_module " .. path .. ";" end
  local here = output_of("pwd"):match("[^\n]+")
  for port = 19600, 19640 do
    local values = { MODULES = table.concat(load, "\n") .. "\nuser root;", HERE = here,
      PORT = tostring(port), UPSTREAM = upstream, SERVICE = service,
      CPATH = here .. "/build/luajit/?.so;;" }
    local file = assert(io.open(folder .. "/site.conf", "w"))
    file:write((read("bench/site.conf"):gsub("%f[%w]%u+%f[%W]", values)))
    file:close()
    local command = string.format("cd %s && %s -p . -c site.conf 2>start.log && echo up", folder,
      found.program)
    if output_of(command):find("up") then return "http://127.0.0.1:" .. port end
  end
  error("bench: nginx did not start: " .. read(folder .. "/start.log"))
end

local function worker()
  return output_of("ps -o pid= --ppid $(cat " .. folder .. "/site.pid)"):match("%d+")
end

-- CPU seconds of the worker's event loop and of all its threads.
local function cpu(pid)
  local function of(path)
    local user, system = read(path):match("%) " .. ("%S+ "):rep(11) .. "(%d+) (%d+)")
    return (user + system) / 100 -- the kernel's USER_HZ, the same everywhere
  end
  return of("/proc/" .. pid .. "/task/" .. pid .. "/stat"), of("/proc/" .. pid .. "/stat")
end

local UNITS = { us = 1e-6, ms = 1e-3, s = 1 }

-- Of one run: requests per second, the 99th percentile of the latency (seconds), requests.
local function wrk(url, options)
  local text = output_of(string.format("wrk -t1 -c16 -d%ds %s --latency '%s?u=u-42' 2>&1", seconds,
    options, url))
  local rps = tonumber(text:match("Requests/sec:%s+([%d.]+)"))
  local value, unit = text:match("99%%%s+([%d.]+)(%a+)")
  if not rps or text:find("Non-2xx", 1, true) then error("bench: wrk said: " .. text) end
  return rps, tonumber(value) * UNITS[unit], tonumber(text:match("(%d+) requests in"))
end

-- At full load, with the CPU time of a request (seconds) in the event loop and in the whole worker.
-- Then with a pause of a millisecond after an answer: what a request waits for then is the server,
-- not the others that the load generator has sent meanwhile.
local function measure(pid, url)
  local loop, all = cpu(pid)
  local rps, p99, requests = wrk(url, "")
  local loop_after, all_after = cpu(pid)
  local _, calm = wrk(url, "-s bench/pause.lua")
  return { rps = rps, p99 = p99, calm = calm, loop = (loop_after - loop) / requests,
    all = (all_after - all) / requests }
end

local FIGURES = { "rps", "p99", "calm", "loop", "all" }

-- Rounds go through all kinds in turn, so that a slow moment of the machine meets each alike.
local function measure_place(base, pid, place)
  local runs, medians = {}, {}
  for _ = 1, rounds do
    for _, kind in ipairs(KINDS) do
      runs[kind] = runs[kind] or {}
      table.insert(runs[kind], measure(pid, base .. "/" .. place .. "/" .. kind))
    end
  end
  for kind, list in pairs(runs) do
    medians[kind] = {}
    for _, figure in ipairs(FIGURES) do
      local values = {}
      for i, run in ipairs(list) do values[i] = run[figure] end
      medians[kind][figure] = rows.median(values)
    end
  end
  return medians
end

local function micros(seconds_)
  return ("%.1f µs"):format(seconds_ * 1e6)
end

local function print_kind(name, one, empty, ours)
  rows.print { figure = name .. ", requests/s", ours = ("%.0f"):format(one.rps),
    yardstick = ("%.0f"):format(empty.rps), value = one.rps / empty.rps,
    target = ours and RPS_TARGET or nil, over = true }
  for _, row in ipairs { { "p99, with pauses", "calm" }, { "p99, at full load", "p99" } } do
    local mine, other = one[row[2]], empty[row[2]]
    rows.print { figure = name .. ", " .. row[1], ours = ("%.2f ms"):format(mine * 1e3),
      yardstick = ("%.2f ms"):format(other * 1e3), value = mine / other,
      target = ours and P99_TARGET or nil }
  end
  rows.print { figure = name .. ", CPU of the event loop", ours = micros(one.loop),
    yardstick = micros(empty.loop), value = one.loop / empty.loop }
  rows.print { figure = name .. ", CPU of the worker", ours = micros(one.all),
    yardstick = micros(empty.all), value = one.all / empty.all }
end

local base = start()
local ok, message = pcall(function()
  local pid = worker()
  for _, place in ipairs(PLACES) do
    local found = measure_place(base, pid, place[1])
    for _, kind in ipairs { "hook", "away", "peer", "log" } do
      print_kind("nginx, " .. place[2] .. ": " .. NAMES[kind], found[kind], found.empty,
        kind == "hook")
    end
  end
end)
output_of("kill -TERM $(cat " .. folder .. "/site.pid)")
if read(folder .. "/site.log"):find("refused with", 1, true) then
  io.stderr:write("bench: events were refused: the sink was too slow\n")
end
assert(ok, message)
