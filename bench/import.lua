-- import.lua
-- The command's import of many lines into the sink, against a bare loop in the same Lua.
-- Does not know how the import works; it runs the command as a user does.
-- SPDX-License-Identifier: MIT
--
-- import.lua ENDPOINT LUA WORK_FOLDER LABEL [LINES]
-- The bare loop reads each line, cjson.decode's it and cjson.encode's it again.
local rows = require "bench.rows"

local endpoint, lua, folder, label = arg[1], arg[2], arg[3], arg[4]
local total = tonumber(arg[5]) or 1000000
local REPETITIONS = 3
local MEMORY_TARGET = 150 -- MiB

local BARE = [[
local cjson = require "cjson"
for line in io.lines(arg[1]) do cjson.encode(cjson.decode(line)) end
]]

local LINE = '{"customer_id":"user-%d","event_code":"page_view","event_time":%.0f,"attributes":{'
  .. '"path":"/products/%d","referer":"https://example.com/list?page=%d","duration":0.%03d,'
  .. '"user_agent":"Mozilla/5.0 (X11; Linux x86_64)","vip":true}}\n'

local function write_file(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

local function write_lines(path)
  local file = assert(io.open(path, "wb"))
  for i = 1, total do
    file:write(LINE:format(i, 1708235644000 + i, i, i % 50, i % 1000))
  end
  file:close()
end

-- Wall seconds, and the greatest resident memory in MiB, of a command as the shell ran it.
local CLOCK = [[
import resource, subprocess, sys, time
start = time.monotonic()
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
took = time.monotonic() - start
print(took, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, status)
]]

local function run(words)
  local pipe = assert(io.popen("python3 " .. folder .. "/clock.py " .. words))
  local seconds, memory, status = pipe:read("*n", "*n", "*n")
  pipe:close()
  assert(status == 0, "failed: " .. words)
  return seconds, memory
end

write_file(folder .. "/bare.lua", BARE)
write_file(folder .. "/clock.py", CLOCK)
local path = folder .. "/import.ndjson"
write_lines(path)

local import = ("env QUICKAUDIENCE_ENDPOINT=%s QUICKAUDIENCE_APP_ID=bench "
  .. "QUICKAUDIENCE_ACCESS_KEY=bench QUICKAUDIENCE_ACCESS_SECRET=bench "
  .. "QUICKAUDIENCE_ORGANIZATION_ID=bench %s lua/quickaudience/bin/quickaudience import %s "
  .. "--restart"):format(endpoint, lua, path)

local ours, bare, ratios, peak = {}, {}, {}, 0
for i = 1, REPETITIONS do
  local memory
  bare[i] = total / run(lua .. " " .. folder .. "/bare.lua " .. path)
  ours[i], memory = run(import)
  ours[i] = total / ours[i]
  ratios[i] = ours[i] / bare[i]
  peak = math.max(peak, memory)
end
os.remove(path)

rows.print {
  figure = ("%s: import of %d lines, per second, vs bare loop"):format(label, total),
  ours = ("%.0f"):format(rows.median(ours)), yardstick = ("%.0f"):format(rows.median(bare)),
  value = rows.median(ratios), target = 0.7, over = true,
}
rows.print {
  figure = ("%s: import, peak memory, MiB"):format(label),
  ours = ("%.0f MiB"):format(peak), value = peak, target = MEMORY_TARGET, digits = 0,
}
