-- access_log.lua
-- Turns the lines of an access log into events, reports them, and tells what became of each.
-- Does not know the site; nginx.conf says what a line holds.
-- SPDX-License-Identifier: MIT
--
--   lua access_log.lua [FILE...]                       one or more logs; none: standard input
--   tail -n 0 -F access.log | lua access_log.lua       from now on, until Ctrl-C
--
-- Where to send comes from the environment (see `settings`), by default the local sandbox.
-- It ends with 0 when all that was reported got an answer, even if some of it was refused.

local cjson = require "cjson"
local quickaudience = require "quickaudience"

local function environment(name, default)
  local value = os.getenv("QUICKAUDIENCE_" .. name)
  return value ~= "" and value or default
end

-- Outcomes are counted by their reason; beyond this many reasons they are only summed up.
local REASONS_MAX = 10
-- Seconds to deliver what is left: at the end of the logs, and for somebody who pressed Ctrl-C.
local CLOSE, CLOSE_INTERRUPTED = 30, 2

local counts = { lines = 0, page_view = 0, pay_order = 0, skipped = 0, refused = 0, unreadable = 0,
  delivered = 0, dead = 0, dropped = 0 }
local reasons, reason_list = {}, {}

local function count(outcome, events, reason)
  counts[outcome] = counts[outcome] + events
  if not reason then return end
  local key = outcome .. " " .. reason
  if not reasons[key] then
    if #reason_list == REASONS_MAX then return end
    reasons[key] = { outcome = outcome, reason = reason, events = 0 }
    reason_list[#reason_list + 1] = reasons[key]
  end
  reasons[key].events = reasons[key].events + events
end

-- Every event ends in exactly one delivery report.
local function on_delivery(report)
  local reason
  if report.status ~= "delivered" then
    -- The trace id is for the vendor's support; without it, equal reasons are equal.
    reason = report.message:gsub(" %(trace [^)]*%)", "")
  end
  count(report.status, report.events, reason)
end

local function settings()
  return {
    endpoint = environment("ENDPOINT", "http://127.0.0.1:9090"),
    app_id = environment("APP_ID", "demo-app"),
    access_key = environment("ACCESS_KEY", "demo-access-key"),
    access_secret = environment("ACCESS_SECRET", "demo-access-secret"),
    organization_id = environment("ORGANIZATION_ID", "demo-organization"),
    attributes = { channel = "web" },
    on_delivery = on_delivery,
  }
end

-- nginx writes "-" or nothing where there is nothing to say.
local function text(value)
  if type(value) == "string" and value ~= "" and value ~= "-" then return value end
end

-- nginx's "1708235644.862", exactly. The event's time is the visit's, not that of reading the log;
-- so what is no time stays as it is, and is refused, rather than becoming nil, which means now.
local function milliseconds(time)
  local seconds, thousandths = tostring(time):match("^(%d+)%.(%d%d%d)$")
  if not seconds then return tostring(time) end
  return tonumber(seconds) * 1000 + tonumber(thousandths)
end

local function page_view(line)
  return {
    customer_id = line.customer,
    event_code = "page_view",
    event_time = milliseconds(line.time),
    attributes = {
      path = line.path,
      referer = text(line.referer),
      user_agent = text(line.user_agent),
      duration = line.duration,
    },
  }
end

local function pay_order(line)
  return {
    customer_id = line.customer,
    event_code = "pay_order",
    event_time = milliseconds(line.time),
    is_order = true,
    attributes = {
      order_id = line.order,
      amount = tonumber(line.amount),
      products = { { id = line.sku, quantity = tonumber(line.quantity) } },
    },
  }
end

-- The event that a line stands for; nil when it is about something else: a picture, an error.
local function event_of(line)
  if line.method == "POST" and line.status == 201 and text(line.order) then
    return pay_order(line)
  elseif line.method == "GET" and line.status == 200
    and tostring(line.type):find("text/html", 1, true) == 1 then
    return page_view(line)
  end
end

-- report() never waits. A reader of files can: when the queue is full, it lets some go out first.
local function report(client, event)
  local ok, message, code = client:report(event)
  while not ok and code == "QUEUE_FULL" do
    client:flush(1)
    ok, message, code = client:report(event)
  end
  if ok then
    count(event.event_code, 1)
  else
    count("refused", 1, message)
  end
end

local function read_line(client, raw)
  counts.lines = counts.lines + 1
  local ok, line = pcall(cjson.decode, raw)
  if not ok or type(line) ~= "table" then
    return count("unreadable", 1, "line is not a JSON object")
  end
  local event = event_of(line)
  if not event then return count("skipped", 1) end
  report(client, event)
end

local function read_log(client, file)
  for raw in file:lines() do
    read_line(client, raw)
    client:poll() -- cheap when no delivery report waits
  end
end

local function read_logs(client, paths)
  if #paths == 0 then return read_log(client, io.stdin) end
  for _, path in ipairs(paths) do
    local file = assert(io.open(path))
    read_log(client, file)
    file:close()
  end
end

local function summarise()
  print(string.format("%d lines: %d page views, %d orders; %d skipped, %d refused, %d unreadable",
    counts.lines, counts.page_view, counts.pay_order, counts.skipped, counts.refused,
    counts.unreadable))
  print(string.format("%d delivered, %d dead, %d dropped", counts.delivered, counts.dead,
    counts.dropped))
  for _, item in ipairs(reason_list) do
    print(string.format("%6d %s: %s", item.events, item.outcome, item.reason))
  end
end

local function main(paths)
  local client = assert(quickaudience.new(settings()))
  -- Ctrl-C, or a file that cannot be read, ends the reading; what was reported is still sent.
  local read, problem = pcall(read_logs, client, paths)
  local interrupted = not read and tostring(problem):find("interrupted!", 1, true)
  local sent, message = client:close(interrupted and CLOSE_INTERRUPTED or CLOSE)
  summarise()
  if not read and not interrupted then io.stderr:write("access_log: ", tostring(problem), "\n") end
  if not sent then io.stderr:write("access_log: ", message, "\n") end
  return sent and (read or interrupted) and counts.dropped == 0
end

os.exit(main(arg) and 0 or 1)
