-- arrived.lua
-- Asks a sandbox what has arrived, and prints it: how much of what, and what was refused and why.
-- Does not know who reported it.
-- SPDX-License-Identifier: MIT
--
--   lua arrived.lua URL [DELIVERED REFUSED]     fails unless exactly so many events were

local cjson = require "cjson"

local url, delivered, refused = arg[1], tonumber(arg[2]), tonumber(arg[3])
if not url or url:find("'", 1, true) then
  io.stderr:write("usage: lua arrived.lua URL [DELIVERED REFUSED]\n")
  os.exit(2)
end

local function ask(path)
  local pipe = assert(io.popen("curl -q -sS --noproxy '*' '" .. url .. path .. "'"))
  local answer = pipe:read("*a")
  pipe:close()
  return answer
end

local function events(query)
  return cjson.decode(ask("/sandbox/events?limit=100000&" .. query)).events
end

-- How many of each, as "137 page_view, 10 pay_order".
local function by_code(items)
  local counts, codes = {}, {}
  for _, item in ipairs(items) do
    local code = item.event.eventCode
    if not counts[code] then codes[#codes + 1] = code end
    counts[code] = (counts[code] or 0) + 1
  end
  table.sort(codes)
  for i, code in ipairs(codes) do codes[i] = string.format("%d %s", counts[code], code) end
  return table.concat(codes, ", ")
end

-- An event that is refused in a batch comes again, alone at last: each event once, with the reason
-- that it got then, and equal reasons together.
local function refusals(items)
  local seen, reasons, total = {}, {}, 0
  for i = #items, 1, -1 do
    local event, first = items[i].event, items[i].errors[1]
    local key = cjson.encode { event.customerId, event.eventTime, event.extendAttributes.path }
    if not seen[key] then
      seen[key], total = true, total + 1
      local reason = string.format("%s of %s: %s: %s: %s", event.eventCode, event.customerId,
        first.code, first.path, first.message)
      if not reasons[reason] then table.insert(reasons, reason) end
      reasons[reason] = (reasons[reason] or 0) + 1
    end
  end
  return total, reasons
end

local counts = cjson.decode(ask("/sandbox/all"))
local arrived = events("valid=true")
print(string.format("%d events arrived: %s; %d came twice",
  counts.events.valid, by_code(arrived), counts.duplicates))
-- As it came, byte for byte.
local order = ask("/sandbox/events?valid=true&event_code=pay_order&limit=1")
print("the last order: " .. (order:match('"event":(.*)}%]}%s*$') or "none"))

local total, reasons = refusals(events("valid=false"))
print(string.format("%d were refused", total))
for _, reason in ipairs(reasons) do print(string.format("%6d %s", reasons[reason], reason)) end

local codes = {}
for status, calls in pairs(counts.statuses) do
  codes[#codes + 1] = string.format("%d times %s", calls, status)
end
table.sort(codes)
print(string.format("%d calls were answered: %s", counts.requests, table.concat(codes, ", ")))
os.exit((delivered == nil or counts.events.valid == delivered)
  and (refused == nil or total == refused) and 0 or 1)
