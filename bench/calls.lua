--- calls.lua
-- What encode() and report() cost their caller, against building the wire table and cjson.encode.
-- Does not know how events are delivered; the sink takes them.
-- SPDX-License-Identifier: MIT
--
-- calls.lua ENDPOINT LABEL ENCODE_TARGET REPORT_TARGET
local cjson = require "cjson"
local quickaudience = require "quickaudience"
local rows = require "bench.rows"
local sample = require "bench.sample"
local tools = require "bench_tools"

local endpoint, label = arg[1], arg[2]
local encode_target, report_target = tonumber(arg[3]), tonumber(arg[4])

local REPETITIONS, SLICES, CALLS = 5, 50, 1000
local TIMED_CALLS = 200000
local events = sample.orders(250)

local function new_client(more)
  local config = {
    endpoint = endpoint, app_id = "bench", access_key = "bench", access_secret = "bench",
    organization_id = sample.ORGANIZATION_ID,
  }
  for key, value in pairs(more or {}) do
    config[key] = value
  end
  return assert(quickaudience.new(config))
end

local function yardstick_slice()
  local encode, wire = cjson.encode, sample.wire
  for i = 1, CALLS do
    encode(wire(events[i % 250 + 1]))
  end
end

local function encode_slice()
  local encode = quickaudience.encode
  for i = 1, CALLS do
    encode(events[i % 250 + 1])
  end
end

-- CPU time of this thread per call of `ours` and of the yardstick. Slices of both take turns, so
-- that whatever else the machine does hits both; `between` runs outside of the clock.
local function repetition(ours, between)
  local ours_time, yardstick_time = 0, 0
  for _ = 1, SLICES do
    local start = tools.thread_cpu()
    ours()
    local middle = tools.thread_cpu()
    yardstick_slice()
    yardstick_time = yardstick_time + tools.thread_cpu() - middle
    ours_time = ours_time + middle - start
    between()
  end
  return ours_time / (SLICES * CALLS), yardstick_time / (SLICES * CALLS)
end

local function compare(figure, target, ours, between)
  local ours_times, yardstick_times, ratios = {}, {}, {}
  repetition(ours, between)
  for i = 1, REPETITIONS do
    ours_times[i], yardstick_times[i] = repetition(ours, between)
    ratios[i] = ours_times[i] / yardstick_times[i]
  end
  rows.print {
    figure = figure,
    ours = ("%.2f µs"):format(rows.median(ours_times) * 1e6),
    yardstick = ("%.2f µs"):format(rows.median(yardstick_times) * 1e6),
    value = rows.median(ratios), target = target, digits = 3,
  }
end

local function compare_encode()
  local bytes = sample.verify(quickaudience.encode, events)
  compare(("%s: encode, %.0f bytes, vs table + cjson"):format(label, bytes), encode_target,
    encode_slice, function() end)
end

local function compare_report()
  local client = new_client()
  local function report_slice()
    for i = 1, CALLS do
      if not client:report(events[i % 250 + 1]) then
        error("the queue is full: the sink is too slow for this benchmark")
      end
    end
  end
  compare(("%s: report, vs table + cjson"):format(label), report_target, report_slice, function()
    assert(client:flush(30))
  end)
  assert(client:close(30))
end

local function encode_only(_, event)
  return quickaudience.encode(event)
end

-- The queue holds all calls of a repetition, so the sender works all along. At full speed this
-- thread, the sender and the sink want a core each, and a call pays when there are fewer. The
-- yardstick is encode() at the same pace with nobody else at work: what the machine adds by itself.
local function time_report(name, burst, period)
  local client = new_client { queue_events = 2 * TIMED_CALLS, queue_bytes = 512 * 1024 * 1024 }
  local all, quiet = { {}, {}, {}, {} }, { {}, {}, {}, {} }
  for i = 1, REPETITIONS do
    local refused
    quiet[1][i], quiet[2][i], quiet[3][i], quiet[4][i] =
      tools.latency(encode_only, nil, events, TIMED_CALLS, burst, period)
    all[1][i], all[2][i], all[3][i], all[4][i], refused =
      tools.latency(client.report, client, events, TIMED_CALLS, burst, period)
    assert(refused == 0, "report() was refused")
    assert(client:flush(60))
  end
  assert(client:close(30))
  local names = { "p50", "p99", "p99.9", "max" }
  for i, times in ipairs(all) do
    local time = rows.median(times) * 1e6
    rows.print {
      figure = ("%s: report, µs, %s, %s"):format(label, name, names[i]),
      ours = ("%.2f µs"):format(time),
      yardstick = ("%.2f µs"):format(rows.median(quiet[i]) * 1e6),
      value = time, target = i == 3 and 20 or nil,
    }
  end
end

compare_encode()
compare_report()
time_report("100 000 a second", 20, 0.00015)
time_report("at full speed", 0, 0)
