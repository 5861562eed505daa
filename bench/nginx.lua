--- nginx.lua
-- What reporting a page view costs nginx's requests, beside what others cost, by wrk.
-- Does not know how nginx was found; site.conf is what it runs.
-- SPDX-License-Identifier: MIT
--
-- nginx.lua SINK FOLDER    SINK: host:port of bench/nginx.conf. BENCH_ROUNDS, BENCH_SECONDS
local launcher = require "quickaudience.sandbox.launcher"
local rows = require "bench.rows"

local sink, folder = arg[1], arg[2]
local rounds = tonumber(os.getenv("BENCH_ROUNDS")) or 5
local seconds = tonumber(os.getenv("BENCH_SECONDS")) or 3

local RPS_TARGET, P99_TARGET = 0.75, 1.25
local KINDS = { "empty", "hook", "peer", "log" }
local NAMES = { peer = "cjson + timer + cosocket", log = "access_log line" }
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
      PORT = tostring(port), SINK = sink, CPATH = here .. "/build/luajit/?.so;;" }
    local file = assert(io.open(folder .. "/site.conf", "w"))
    file:write((read("bench/site.conf"):gsub("%f[%w]%u+%f[%W]", values)))
    file:close()
    local command = string.format("cd %s && %s -p . -c site.conf 2>start.log && echo up", folder,
      found.program)
    if output_of(command):find("up") then return "http://127.0.0.1:" .. port end
  end
  error("bench: nginx did not start: " .. read(folder .. "/start.log"))
end

local UNITS = { us = 1e-6, ms = 1e-3, s = 1 }

-- Requests per second and the 99th percentile of the latency, in seconds.
local function measure(url)
  local text = output_of(string.format("wrk -t1 -c16 -d%ds --latency '%s?u=u-42' 2>&1", seconds,
    url))
  local rps = tonumber(text:match("Requests/sec:%s+([%d.]+)"))
  local value, unit = text:match("99%%%s+([%d.]+)(%a+)")
  if not rps or text:find("Non-2xx", 1, true) then error("bench: wrk said: " .. text) end
  return rps, tonumber(value) * UNITS[unit]
end

-- Rounds go through all kinds in turn, so that a slow moment of the machine meets each alike.
local function measure_place(base, place)
  local found = {}
  for _, kind in ipairs(KINDS) do found[kind] = { rps = {}, p99 = {} } end
  for _ = 1, rounds do
    for _, kind in ipairs(KINDS) do
      local rps, p99 = measure(base .. "/" .. place .. "/" .. kind)
      table.insert(found[kind].rps, rps)
      table.insert(found[kind].p99, p99)
    end
  end
  local medians = {}
  for kind, lists in pairs(found) do
    medians[kind] = { rps = rows.median(lists.rps), p99 = rows.median(lists.p99) }
  end
  return medians
end

local function print_place(title, found)
  local empty = found.empty
  for _, kind in ipairs { "hook", "peer", "log" } do
    local one, ours = found[kind], kind == "hook"
    local name = "nginx, " .. title .. (ours and ": hook" or ": " .. NAMES[kind])
    rows.print { figure = name .. ", requests/s", ours = ("%.0f"):format(one.rps),
      yardstick = ("%.0f"):format(empty.rps), value = one.rps / empty.rps,
      target = ours and RPS_TARGET or nil, over = true }
    rows.print { figure = name .. ", p99", ours = ("%.2f ms"):format(one.p99 * 1e3),
      yardstick = ("%.2f ms"):format(empty.p99 * 1e3), value = one.p99 / empty.p99,
      target = ours and P99_TARGET or nil }
    rows.print { figure = name .. ", cost of a request", yardstick = "-",
      ours = ("%.1f µs"):format((1 / one.rps - 1 / empty.rps) * 1e6), value = 0 }
  end
end

local base = start()
local ok, message = pcall(function()
  for _, place in ipairs(PLACES) do print_place(place[2], measure_place(base, place[1])) end
end)
output_of("kill -TERM $(cat " .. folder .. "/site.pid)")
local log = read(folder .. "/site.log")
if log:find("refused with", 1, true) then
  io.stderr:write("bench: events were refused: the sink was too slow\n")
end
assert(ok, message)
