--- stream.lua
-- Events per client CPU-second through real HTTP, against libcurl posting ready-made bytes.
-- Does not know what the sink does with them.
-- SPDX-License-Identifier: MIT
--
-- stream.lua ENDPOINT POST_PROGRAM WORK_FOLDER [EVENTS]
local quickaudience = require "quickaudience"
local rows = require "bench.rows"
local sample = require "bench.sample"
local tools = require "bench_tools"

local endpoint, program, folder = arg[1], arg[2], arg[3]
local total = tonumber(arg[4]) or 1000000
local REPETITIONS, BATCH = 5, 200
local BOUNDARY = "------------------------0123456789abcdef"

-- The body of one batch, as the client sends it.
local function write_body(path, events)
  local list = {}
  for i, event in ipairs(events) do
    list[i] = assert(quickaudience.encode(event))
  end
  local part = "--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n"
  local file = assert(io.open(path, "wb"))
  file:write(part:format(BOUNDARY, "accessId", sample.ORGANIZATION_ID))
  file:write(part:format(BOUNDARY, "eventMessageModelListJson",
    "[" .. table.concat(list, ",\n") .. "]"))
  file:write("--", BOUNDARY, "--\r\n")
  file:close()
end

local function run_yardstick(path)
  local command = ("%s '%s/openapi/cloud/event/detail/receive?appId=bench&timestamp=1708235644862"
    .. "&accessKey=bench' '%s' '%s' %d"):format(program, endpoint, path, BOUNDARY, total / BATCH)
  local pipe = assert(io.popen(command))
  local user, system = pipe:read("*n", "*n")
  pipe:close()
  return assert(user, "the yardstick failed") + system
end

-- Reports all events as fast as the queue takes them; a full queue is waited out.
local function report_all(client, events)
  for i = 1, total do
    local event = events[i % BATCH + 1]
    while not client:report(event) do
      tools.pause(0.002)
    end
  end
end

local function run_ours(events)
  local client = assert(quickaudience.new {
    endpoint = endpoint, app_id = "bench", access_key = "bench", access_secret = "bench",
    organization_id = sample.ORGANIZATION_ID,
  })
  assert(client:report(events[1]))
  assert(client:flush(30))
  local cpu, caller = tools.process_cpu(), tools.thread_cpu()
  local user, system = tools.other_threads()
  report_all(client, events)
  assert(client:flush(120))
  cpu, caller = tools.process_cpu() - cpu, tools.thread_cpu() - caller
  local user_after, system_after = tools.other_threads()
  assert(client:stats().delivered == total + 1, "not all events were delivered")
  assert(client:close(30))
  return { cpu = cpu, caller = caller, user = user_after - user, system = system_after - system }
end

-- CPU seconds that checking and encoding all events takes, without the queue; measured apart.
local function run_validate(events)
  local validate, start = quickaudience.validate, tools.thread_cpu()
  for i = 1, total do
    validate(events[i % BATCH + 1])
  end
  return tools.thread_cpu() - start
end

local function share(figure, seconds, whole)
  rows.print {
    figure = "  of it " .. figure, ours = ("%.3f µs/event"):format(seconds / total * 1e6),
    value = seconds / whole,
  }
end

local function medians(runs)
  local out = {}
  for key in pairs(runs[1]) do
    local list = {}
    for i, run in ipairs(runs) do
      list[i] = run[key]
    end
    out[key] = rows.median(list)
  end
  return out
end

local function measure(name, events, target)
  local path = folder .. "/ready-made"
  local runs, yardsticks, ratios = {}, {}, {}
  write_body(path, events)
  for i = 1, REPETITIONS do
    yardsticks[i] = run_yardstick(path)
    runs[i] = run_ours(events)
    runs[i].encode = run_validate(events)
    ratios[i] = yardsticks[i] / runs[i].cpu
  end
  local typical = medians(runs)
  rows.print {
    figure = ("stream of %s: events per client CPU-second, vs bare libcurl"):format(name),
    ours = ("%.0f k/s"):format(total / typical.cpu / 1e3),
    yardstick = ("%.0f k/s"):format(total / rows.median(yardsticks) / 1e3),
    value = rows.median(ratios), target = target, over = true, digits = 3,
  }
  share("the caller: report() in a loop", typical.caller, typical.cpu)
  share("  checking and encoding alone", typical.encode, typical.cpu)
  share("the sender, in user space", typical.user, typical.cpu)
  share("the sender, in the kernel", typical.system, typical.cpu)
end

measure("orders", sample.orders(BATCH), 0.3)
measure("page views", sample.views(BATCH), 0.3)
