-- spool_crash.lua
-- Kills processes that report into a spool, lets a successor finish, and looks for what is missing.
-- Does not know how many rounds are enough.
-- SPDX-License-Identifier: MIT
local sandboxes = require "spec.support.sandbox"

local M = {}

local quote = sandboxes.quote
local CHILD = "spec/support/spool_child.lua"

-- Requests in flight by events of a batch: what a single kill may make arrive twice.
M.IN_FLIGHT = 4 * 200

--- A sandbox that fails at random without storing, and a directory for the spool.
---@param changes table|nil settings of the clients that differ
function M.start(changes)
  local self = setmetatable({}, { __index = M })
  self.sandbox = sandboxes.start { args = { "--keep", "1000000",
    "--keep-bytes", tostring(512 * 1024 * 1024) } }
  self.root = sandboxes.scratch()
  self.directory = self.root .. "/spool"
  self.file = self.root .. "/settings"
  self.settings = {
    endpoint = self.sandbox.url, organization_id = self.sandbox.organization_id,
    app_id = self.sandbox.credentials.app_id, access_key = self.sandbox.credentials.access_key,
    access_secret = self.sandbox.credentials.access_secret, spool = self.directory,
    queue_events = 3000, retry_base = 0.01, retry_max = 0.05,
  }
  for name, value in pairs(changes or {}) do self.settings[name] = value end
  local file = assert(io.open(self.file, "w"))
  file:write("return {\n")
  for name, value in pairs(self.settings) do
    file:write(name, " = ", type(value) == "string" and string.format("%q", value)
      or string.format("%.6g", value), ",\n")
  end
  file:write("}\n")
  file:close()
  self.saved, self.kills = {}, 0
  return self
end

function M:stop()
  self.sandbox:stop()
  os.execute("rm -rf " .. quote(self.root))
end

function M:fail_at_random()
  self.sandbox:faults { { status = 503, probability = 0.2, times = "forever" } }
end

-- A child that gets SIGKILL after `seconds`, nil: that may end by itself.
local function open_child(self, name, count, seconds, successors)
  local words = { sandboxes.lua(), CHILD, quote(self.file), name, count,
    successors or 1 }
  if seconds then table.insert(words, 1, string.format("timeout -s KILL %.3f", seconds)) end
  return assert(io.popen("exec 2>&1; " .. table.concat(words, " "), "r"))
end

local function read_child(self, name, child)
  local last, other = 0, {}
  for line in child:lines() do
    local number = line:match("^saved (%d+)$")
    if number then
      last = tonumber(number)
    elseif not line:find("^s?a?v?e?d? ?%d*Killed$") and line ~= "" then -- the last may be cut off
      other[#other + 1] = line
    end
  end
  child:close()
  self.saved[name] = last
  return table.concat(other, "\n")
end

--- Children at the same time, each killed after its time. What they complained about.
---@param times number[] seconds until each is killed
---@param count integer events that each may report; 0: it only adopts
function M:kill(times, count)
  local children, complaints = {}, ""
  for i, seconds in ipairs(times) do
    local name = "k" .. self.kills + i
    children[i] = { name, open_child(self, name, count, seconds) }
  end
  self.kills = self.kills + #times
  for _, child in ipairs(children) do
    complaints = complaints .. read_child(self, child[1], child[2])
  end
  return complaints
end

--- A successor sends what is left, and ends when nothing is.
function M:finish(successors)
  local children, output = {}, ""
  for i = 1, successors or 1 do
    children[i] = open_child(self, "last", 0, nil, successors)
  end
  for _, child in ipairs(children) do output = output .. read_child(self, "last", child) end
  return output
end

--- What is missing of what was saved, as text ("" when nothing is), and how many arrived twice.
function M:look()
  local times, twice, missing = {}, 0, {}
  for _, kept in ipairs(self.sandbox:events()) do
    local id = kept.event.customerId
    if times[id] then twice = twice + 1 end
    times[id] = true
  end
  for name, last in pairs(self.saved) do
    for i = 1, last do
      if not times[name .. "-" .. i] then
        missing[#missing + 1] = name .. "-" .. i .. " of " .. last
      end
    end
  end
  return table.concat(missing, ", ", 1, math.min(#missing, 10)), twice
end

--- Files that are left in the spool.
function M:files()
  local list = assert(io.popen("ls -A " .. quote(self.directory)))
  local text = list:read("*a")
  list:close()
  return text
end

--- Forgets what was sent and killed so far.
function M:again()
  self.sandbox:reset()
  self:fail_at_random()
  self.saved, self.kills = {}, 0
end

return M
