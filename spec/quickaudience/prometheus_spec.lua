--- prometheus_spec.lua
-- Checks the text against the format's rules, with figures made up here.
-- Does not know how a client comes by its figures.
-- SPDX-License-Identifier: MIT

local prometheus = require "quickaudience.prometheus"

local function summary(count)
  return { count = count, sum = 2.5, min = 0.001, mean = 0.25, p50 = 0.2, p99 = 0.9, max = 1 }
end

local function figures()
  return {
    state = "paused", reason = "AUTH", reason_message = "a \"text\" that is nobody's label",
    accepted = 9007199254740991, delivered = 3, dead = 0,
    dropped = { deadline = 4, closed = 5 },
    pending = { queued = 1, spooled = 0, in_flight = 2, total = 3 },
    requests = { total = 7, in_flight = 2, by_outcome = { OK = 6, NETWORK = 1 } },
    reports = { made = 3, waiting = 1 }, dead_letters = { kept = 0, evicted = 0 },
    retries = 1, bytes_sent = 12345, replaced = 0, queue_bytes = 99, clients = 1,
    oldest_age = 0.125, clock_offset = -1.5, on_delivery_errors = 0,
    spool = { state = "full", message = "nobody's label", files = 2, bytes = 4096,
      corrupt_files = 1, corrupt_name = "x.db.corrupt", commits = 8, last_commit = 0.02,
      adopted = 6, on_disk_only = 5 },
    queue_latency = summary(10), round_trip = summary(0), batch_size = summary(10),
  }
end

-- { name = value } of all samples, and { name = type } of all families.
local function parse(text)
  local samples, types, helps = {}, {}, {}
  for line in text:gmatch("([^\n]*)\n") do
    local kind, name, rest = line:match("^# (%u+) ([%a_][%w_]*) (.+)$")
    if kind == "TYPE" then
      types[name] = rest
    elseif kind == "HELP" then
      assert.is_nil(helps[name], name .. " stands twice")
      helps[name] = rest
    else
      local sample, value = line:match("^([%a_][%w_]*%b{}) (%S+)$")
      if not sample then sample, value = line:match("^([%a_][%w_]*) (%S+)$") end
      assert.truthy(sample, line)
      assert.is_nil(samples[sample], sample .. " stands twice")
      samples[sample] = value
      local family = sample:match("^[%w_]+")
      assert.truthy(types[family] or types[family:gsub("_sum$", "")]
        or types[family:gsub("_count$", "")], sample .. " comes before its type")
    end
  end
  return samples, types, helps
end

describe("prometheus", function()
  it("writes every figure", function()
    local samples, types = parse(prometheus.render(figures()))
    for sample, value in pairs {
      ["quickaudience_events_accepted_total"] = "9007199254740991",
      ["quickaudience_events_delivered_total"] = "3",
      ["quickaudience_events_dropped_total{reason=\"deadline\"}"] = "4",
      ["quickaudience_events_dropped_total{reason=\"closed\"}"] = "5",
      ["quickaudience_events_pending{place=\"in_flight\"}"] = "2",
      ["quickaudience_requests_total{outcome=\"NETWORK\"}"] = "1",
      ["quickaudience_requests_in_flight"] = "2",
      ["quickaudience_state{state=\"paused\"}"] = "1",
      ["quickaudience_state{state=\"running\"}"] = "0",
      ["quickaudience_oldest_pending_seconds"] = "0.125",
      ["quickaudience_clock_offset_seconds"] = "-1.5",
      ["quickaudience_queue_latency_seconds{quantile=\"0\"}"] = "0.001",
      ["quickaudience_queue_latency_seconds{quantile=\"0.99\"}"] = "0.9",
      ["quickaudience_queue_latency_seconds_sum"] = "2.5",
      ["quickaudience_queue_latency_seconds_count"] = "10",
      ["quickaudience_round_trip_seconds{quantile=\"0.5\"}"] = "NaN",
      ["quickaudience_round_trip_seconds_count"] = "0",
      ["quickaudience_spool_state{state=\"full\"}"] = "1",
      ["quickaudience_spool_state{state=\"ok\"}"] = "0",
      ["quickaudience_spool_files"] = "2",
      ["quickaudience_spool_bytes"] = "4096",
      ["quickaudience_spool_corrupt_files"] = "1",
      ["quickaudience_spool_on_disk_only_events"] = "5",
      ["quickaudience_spool_adopted_events_total"] = "6",
      ["quickaudience_spool_commits_total"] = "8",
      ["quickaudience_spool_last_commit_seconds"] = "0.02",
    } do
      assert.equal(value, samples[sample], sample)
    end
    assert.is_nil(samples["quickaudience_events_pending{place=\"total\"}"])
    assert.equal("counter", types.quickaudience_events_accepted_total)
    assert.equal("gauge", types.quickaudience_state)
    assert.equal("summary", types.quickaudience_request_events)
  end)

  it("keeps to the format's naming", function()
    local _, types, helps = parse(prometheus.render(figures()))
    for name, kind in pairs(types) do
      assert.equal(kind == "counter", name:find("_total$") ~= nil, name)
      assert.truthy(helps[name]:find("%.$"), name)
    end
    assert.equal(#prometheus.metrics, select(2, prometheus.render(figures()):gsub("# TYPE", "")))
  end)

  it("puts labels on every sample, escaped", function()
    local text = prometheus.render(figures(),
      { worker = "1", site = 'a"b\\c\nd', _x1 = "\228\186\186" })
    local prefix = "{_x1=\"\228\186\186\",site=\"a\\\"b\\\\c\\nd\",worker=\"1\""
    for line in text:gmatch("[^\n]+") do
      if line:sub(1, 1) ~= "#" then
        assert.truthy(line:find(prefix, 1, true), line)
      end
    end
    assert.truthy(text:find(prefix .. ",reason=\"closed\"} 5\n", 1, true))
    assert.truthy(text:find("accepted_total" .. prefix .. "} 9007199254740991\n", 1, true))
  end)

  it("refuses what is no label name", function()
    for _, name in ipairs { "a-b", "", "1a", "__name", "a b" } do
      assert.has_error(function() prometheus.render(figures(), { [name] = "x" }) end,
        "prometheus: " .. name .. ": not a label name")
    end
  end)

  it("leaves out what the figures lack", function()
    local stats = figures()
    stats.dead_letters, stats.round_trip, stats.spool = nil, nil, nil
    local text = prometheus.render(stats)
    assert.falsy(text:find("spool_"))
    assert.falsy(text:find("dead_letters"))
    assert.falsy(text:find("round_trip"))
    assert.truthy(text:find("request_events_count 10\n", 1, true))
  end)

  it("writes no text of an error", function()
    assert.falsy(prometheus.render(figures()):find("nobody's label", 1, true))
  end)

  it("writes a decimal point in every locale", function()
    local format = string.format
    -- As C's printf does in a German locale.
    string.format = function(...) -- luacheck: ignore 122
      return (format(...):gsub("%.", ","))
    end
    local text = prometheus.render(figures())
    string.format = format -- luacheck: ignore 122
    assert.truthy(text:find("oldest_pending_seconds 0.125\n", 1, true))
  end)
end)
