--- reference_spec.lua
-- Holds docs/reference.md against the code, so that neither changes alone.
-- Does not know whether what it says is true; the other specs do.
-- SPDX-License-Identifier: MIT

local core = require "quickaudience.core"
local quickaudience = require "quickaudience"
local reference = require "spec.support.reference"

local CODES = { "CONFIG", "INVALID_EVENT", "QUEUE_FULL", "SPOOL_FULL", "CLOSED", "TIMEOUT",
  "NETWORK", "TLS", "HTTP", "REJECTED", "AUTH", "BAD_RESPONSE", "SPOOL" }

-- The text under a heading, up to the next one of its rank.
local function section(text, heading)
  local _, from = text:find("\n" .. heading .. "\n", 1, true)
  assert(from, heading)
  local mark = heading:match("^#+")
  local to = text:find("\n" .. mark .. " ", from, true)
  return text:sub(from, to)
end

-- { name = true } of all names in the first column of the section's tables.
local function first_column(text)
  local names = {}
  for cell in text:gmatch("\n| ([^|]+) |") do
    for name in cell:gmatch("`([^`]+)`") do names[name] = true end
  end
  return names
end

local SUMMARY = { queue_latency = true, round_trip = true, batch_size = true }

-- { ["pending.queued"] = true, … }
local function flatten(stats)
  local names = {}
  for name, value in pairs(stats) do
    if type(value) == "table" and not SUMMARY[name] then
      for inner in pairs(value) do names[name .. "." .. inner] = true end
    else
      names[name] = true
    end
  end
  return names
end

describe("the reference", function()
  local text = reference.read()

  it("has the tables that the code describes", function()
    assert.equal(reference.update(text), text)
  end)

  it("lists every code once", function()
    local listed = first_column(section(text, "## Errors"))
    for _, code in ipairs(CODES) do
      assert.truthy(listed[code], code)
      listed[code] = nil
    end
    assert.is_nil(next(listed))
  end)

  it("lists every method", function()
    for name in pairs(core.methods) do
      if name:sub(1, 1) ~= "_" then
        assert.truthy(text:find("`client:" .. name .. "(", 1, true), name)
      end
    end
    for name in pairs(core.batch_methods) do
      if name:sub(1, 1) ~= "_" then
        assert.truthy(text:find("`batch:" .. name .. "(", 1, true), name)
      end
    end
    for name in pairs(quickaudience) do
      assert.truthy(text:find("| `quickaudience." .. name, 1, true), name)
    end
  end)

  it("lists every figure, and none that there is not", function()
    local client = assert(quickaudience.new { endpoint = "http://localhost:1", app_id = "a",
      access_key = "k", access_secret = "s", organization_id = "o" })
    local stats = client:stats()
    client:close(0)
    local listed = first_column((section(text, "## Figures"):gsub("\n### .*", "")))
    local absent = { reason = true, reason_message = true, on_delivery_error = true,
      ["requests.by_outcome"] = true,
      ["spool.state"] = true, ["spool.message"] = true, ["spool.files"] = true,
      ["spool.bytes"] = true, ["spool.corrupt_files"] = true, ["spool.corrupt_name"] = true,
      ["spool.commits"] = true, ["spool.last_commit"] = true, ["spool.adopted"] = true,
      ["spool.on_disk_only"] = true }
    for name in pairs(flatten(stats)) do
      if not name:find("^requests%.by_outcome") then
        assert.truthy(listed[name], name)
        listed[name] = nil
      end
    end
    for name in pairs(listed) do assert.truthy(absent[name], name) end
    for name in pairs(SUMMARY) do
      for _, member in ipairs { "count", "sum", "min", "mean", "p50", "p99", "max" } do
        assert.equal("number", type(stats[name][member]), name .. "." .. member)
      end
    end
  end)

  it("lists every field of an event", function()
    for name in pairs(first_column(section(text, "## Events"):gsub("\n### .*", ""))) do
      local _, message = quickaudience.encode { customer_id = "u", event_code = "e", [name] = {} }
      assert.falsy(message and message:find("unknown key", 1, true), name)
    end
  end)
end)
