-- spool.lua
-- What a spool costs while the service answers, and what it takes in while the service is away.
-- Does not know how the spool writes; the C loops beside it write the same bytes in their ways.
-- SPDX-License-Identifier: MIT
--
-- spool.lua ENDPOINT QUEUES_PROGRAM FOLDER [EVENTS]    FOLDER: on a real disk, and empty
-- EVENTS (200000) go in while the service is away; more while it is there.
local quickaudience = require "quickaudience"
local rows = require "bench.rows"
local sample = require "bench.sample"
local tools = require "bench_tools"

local endpoint, program, folder = arg[1], arg[2], arg[3]
local total = tonumber(arg[4]) or 200000
local REPETITIONS, BATCH, STREAM = 5, 200, 4
local INTERVAL = 0.05 -- commit_interval's default
local AWAY = "http://127.0.0.1:1" -- nobody listens there
local SLICES, CALLS = 60, 1000
local TIMED_CALLS = 60000

local events = sample.orders(BATCH)
local directory, chunk_file = folder .. "/client", folder .. "/chunk"

local function new_client(url, spool, more)
  local config = {
    endpoint = url, app_id = "bench", access_key = "bench", access_secret = "bench",
    organization_id = sample.ORGANIZATION_ID, spool = spool, spool_sync = spool and "full",
  }
  for key, value in pairs(more or {}) do
    config[key] = value
  end
  return assert(quickaudience.new(config))
end

-- What was written before is on the disk, not in the way of what is written next.
local function settle()
  os.execute("rm -rf '" .. directory .. "' '" .. folder .. "/queues' && sync -f '" .. folder .. "'")
end

-- The events of a batch, as a chunk holds them.
local function write_chunk()
  local list = {}
  for i, event in ipairs(events) do
    list[i] = assert(quickaudience.encode(event))
  end
  local text = table.concat(list, ",\n")
  local file = assert(io.open(chunk_file, "wb"))
  file:write(text)
  file:close()
  return #text
end

-- Reports events as fast as the queue takes them; a full queue is waited out.
local function report_all(client, count)
  for i = 1, count do
    local event = events[i % BATCH + 1]
    while not client:report(event) do
      tools.pause(0.002)
    end
  end
end

local function clocks()
  return tools.wall(), tools.process_cpu()
end

local function since(wall, cpu)
  return tools.wall() - wall, tools.process_cpu() - cpu
end

local function per_second(count, seconds)
  return ("%.0f k/s"):format(count / seconds / 1e3)
end

local function ratio_row(figure, ours, yardsticks, target)
  local ratios, mine, other = {}, {}, {}
  for i, run in ipairs(ours) do
    mine[i], other[i] = run, yardsticks[i]
    ratios[i] = run / yardsticks[i]
  end
  rows.print {
    figure = figure, ours = per_second(rows.median(mine), 1),
    yardstick = per_second(rows.median(other), 1), value = rows.median(ratios), target = target,
    over = true, digits = 2,
  }
end

local function list_of(runs, key)
  local out = {}
  for i, run in ipairs(runs) do
    out[i] = run[key]
  end
  return out
end

-- ---- a healthy service ----------------------------------------------------------------------

local function stream(count, spool, more)
  settle()
  local client = new_client(endpoint, spool, more)
  assert(client:report(events[1]))
  assert(client:flush(30))
  local wall, cpu = clocks()
  report_all(client, count)
  assert(client:flush(120))
  wall, cpu = since(wall, cpu)
  local stats = client:stats()
  assert(stats.delivered == count + 1, "not all events were delivered")
  assert(client:close(30))
  return { wall = count / wall, cpu = count / cpu, commits = spool and stats.spool.commits or 0 }
end

local function compare_streams(name, count, target, more)
  local with, without, commits = {}, {}, {}
  for i = 1, REPETITIONS do
    without[i] = stream(count, nil, more)
    with[i] = stream(count, directory, more)
    commits[i] = with[i].commits
  end
  ratio_row(("spool, %s: events per second until flushed, vs memory only"):format(name),
    list_of(with, "wall"), list_of(without, "wall"), target)
  ratio_row("  the same, per CPU second of the process", list_of(with, "cpu"),
    list_of(without, "cpu"))
  rows.print { figure = "  commits meanwhile", ours = ("%d"):format(rows.median(commits)),
    value = rows.median(commits), digits = 0 }
end

-- ---- the service away -----------------------------------------------------------------------

-- From the first report until all is on disk. What it holds then stays there.
local function take_in()
  settle()
  local client = new_client(AWAY, directory)
  local wall, cpu = clocks()
  report_all(client, total)
  assert(client:flush_to_disk(120))
  wall, cpu = since(wall, cpu)
  local stats = client:stats()
  assert(stats.pending.total == total and stats.spool.state == "ok", "not all events are kept")
  client:close(0)
  return { wall = total / wall, cpu = total / cpu, commits = stats.spool.commits }
end

local function run_queue(loop, limit)
  settle()
  assert(os.execute("mkdir '" .. folder .. "/queues'"))
  local pipe = assert(io.popen(("'%s' '%s/queues' %s '%s' %d %.6f"):format(program, folder, loop,
    chunk_file, total, limit)))
  local count, wall, cpu, commits = pipe:read("*n", "*n", "*n", "*n")
  pipe:close()
  assert(commits, loop .. " failed")
  return { wall = count / wall, cpu = count / cpu, commits = commits }
end

-- Nothing is delivered, so neither loop deletes. The bare loop's transactions are as large as the
-- client's were a moment before.
local function compare_intake()
  local ours, bare, row = {}, {}, {}
  local chunks
  for i = 1, REPETITIONS do
    ours[i] = take_in()
    chunks = math.max(1, math.floor(total / BATCH / ours[i].commits + 0.5))
    bare[i] = run_queue("bare", chunks)
    row[i] = run_queue("rows", INTERVAL)
  end
  ratio_row("spool, service away: the client takes in events per second, vs bare SQLite loop",
    list_of(ours, "wall"), list_of(bare, "wall"), 0.5)
  ratio_row("  the same, per CPU second of the process", list_of(ours, "cpu"),
    list_of(bare, "cpu"))
  ratio_row("spool, service away: the client takes in events per second, vs row per event",
    list_of(ours, "wall"), list_of(row, "wall"), 1.5)
  ratio_row("  the same, per CPU second of the process", list_of(ours, "cpu"),
    list_of(row, "cpu"))
  local commits = rows.median(list_of(ours, "commits"))
  rows.print { figure = "  commits meanwhile; the rows' in the second column",
    ours = ("%d"):format(commits), yardstick = ("%d"):format(rows.median(list_of(row, "commits"))),
    value = commits, digits = 0 }
  return chunks
end

local function show_engine(chunks)
  for _, ending in ipairs { "", "-delivered" } do
    local spool, bare = run_queue("spool" .. ending, chunks), run_queue("bare" .. ending, chunks)
    local row = run_queue("rows" .. ending, INTERVAL)
    local what = ending == "" and "inserts" or "inserts and deletes"
    for _, other in ipairs { { "bare SQLite loop", bare }, { "row per event", row } } do
      ratio_row(("  its engine alone, %s, vs %s"):format(what, other[1]), { spool.wall },
        { other[2].wall })
    end
  end
end

-- ---- report() itself ------------------------------------------------------------------------

-- CPU time of this thread per call; slices of all clients take turns.
local function report_costs(clients)
  local times = {}
  for i = 1, #clients do
    times[i] = 0
  end
  for _ = 1, SLICES do
    for i, client in ipairs(clients) do
      local start = tools.thread_cpu()
      for j = 1, CALLS do
        if not client:report(events[j % BATCH + 1]) then
          error("the queue is full: the sink is too slow for this benchmark")
        end
      end
      times[i] = times[i] + tools.thread_cpu() - start
      assert(client:flush(30))
    end
  end
  return times
end

-- Two clients without a spool beside it: how much they differ cannot be measured. (Equal ones
-- would share a sender.)
local function compare_reports()
  settle()
  local clients = { new_client(endpoint), new_client(endpoint, nil, { timeout = 9 }),
    new_client(endpoint, directory) }
  local costs, ratios, noise = {}, {}, {}
  report_costs(clients)
  for i = 1, REPETITIONS do
    local times = report_costs(clients)
    costs[i] = times[3]
    ratios[i] = 2 * times[3] / (times[1] + times[2])
    noise[i] = math.max(times[1], times[2]) / math.min(times[1], times[2])
  end
  local cost, value = rows.median(costs) / SLICES / CALLS, rows.median(ratios)
  rows.print {
    figure = "spool: report(), CPU of the caller, vs memory only",
    ours = ("%.3f µs"):format(cost * 1e6), yardstick = ("%.3f µs"):format(cost / value * 1e6),
    value = value, target = 1.05, digits = 3,
  }
  rows.print { figure = "  two clients without a spool differ by", ours = "-",
    value = rows.median(noise), digits = 3 }
  for _, client in ipairs(clients) do
    assert(client:close(30))
  end
end

-- The same while nothing is delivered, so that all of it is written meanwhile; the queue holds it.
local function compare_reports_away()
  local costs, others, ratios = {}, {}, {}
  for i = 1, REPETITIONS do
    local times = {}
    for which, spool in ipairs { false, directory } do
      settle()
      local client = new_client(AWAY, spool or nil)
      report_all(client, CALLS)
      local start = tools.thread_cpu()
      report_all(client, SLICES * CALLS)
      times[which] = tools.thread_cpu() - start
      client:close(0)
    end
    others[i], costs[i], ratios[i] = times[1], times[2], times[2] / times[1]
  end
  local calls = SLICES * CALLS
  rows.print {
    figure = "  the same with the service away, so all is written meanwhile",
    ours = ("%.3f µs"):format(rows.median(costs) / calls * 1e6),
    yardstick = ("%.3f µs"):format(rows.median(others) / calls * 1e6),
    value = rows.median(ratios), digits = 3,
  }
end

local function time_reports()
  settle()
  local clients, all = { new_client(endpoint), new_client(endpoint, directory) }, { {}, {} }
  local names = { "p50", "p99", "p99.9" }
  for i = 1, REPETITIONS do
    for which, client in ipairs(clients) do
      local p50, p99, p999, _, refused =
        tools.latency(client.report, client, events, TIMED_CALLS, 20, 0.00015)
      assert(refused == 0, "report() was refused")
      all[which][i] = { p50 = p50, p99 = p99, ["p99.9"] = p999 }
      assert(client:flush(30))
    end
  end
  for _, name in ipairs(names) do
    local ours, other = rows.median(list_of(all[2], name)), rows.median(list_of(all[1], name))
    rows.print { figure = ("  report, µs, 100 000 a second, %s"):format(name),
      ours = ("%.2f µs"):format(ours * 1e6), yardstick = ("%.2f µs"):format(other * 1e6),
      value = ours / other }
  end
  for _, client in ipairs(clients) do
    assert(client:close(30))
  end
end

write_chunk()
compare_streams("service well", STREAM * total, 0.8)
-- Small batches cost the sink so much that the reporter is faster: the queue is full, everything in
-- it waits longer than commit_interval, and has to be written. What that costs has no target.
compare_streams("service well, but slower than report()", total, nil, { batch_events = 50 })
show_engine(compare_intake())
compare_reports()
compare_reports_away()
time_reports()
