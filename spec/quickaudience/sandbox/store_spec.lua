--- store_spec.lua
-- Checks the counting, the finding of duplicates and the bounds of what is kept.
-- Does not know HTTP.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local digest = require "openssl.digest"
local store = require "quickaudience.sandbox.store"

local function md5(text) return digest.new("md5"):final(text) end

local function new(options)
  local all = { md5 = md5 }
  for name, value in pairs(options or {}) do all[name] = value end
  return store.new(all)
end

local function batch(first, count)
  local texts = {}
  for i = 1, count do
    texts[i] = string.format('{"organizationId":"o", "customerId":"u-%d","eventCode":"c%d",'
      .. '"eventTime":1708235644862}', first + i - 1, (first + i - 1) % 2)
  end
  local text = "[" .. table.concat(texts, ",\n") .. "]"
  return { text = text, events = cjson.decode(text), trace_id = "t", received_at = 1708235644862,
    app_id = "app", access_id = "o" }
end

local function ids(self, filter)
  filter = filter or {}
  filter.since, filter.limit = filter.since or 0, filter.limit or 1000
  local list = {}
  for i, text in ipairs(self:newest_events(filter)) do
    list[i] = cjson.decode(text).event.customerId
  end
  return table.concat(list, " ")
end

local function error_at(index)
  return { index = index, path = "[" .. index .. "].x", code = "C", message = "m" }
end

describe("sandbox.store", function()
  it("counts what it accepts, once and again", function()
    local self = new()
    self:accept(batch(1, 3))
    self:accept(batch(3, 3))
    self:accept(batch(3, 1))
    local all = self:summary()
    assert.equal(7, all.events.valid)
    assert.equal(5, all.events.distinct)
    assert.equal(2, all.duplicates)
    assert.equal(1, all.events.repeated)
    assert.equal("u-1 u-2 u-3 u-3 u-4 u-5 u-3", ids(self))
  end)

  it("takes an empty batch", function()
    local self = new()
    self:accept(batch(1, 0))
    assert.equal(0, self:summary().events.valid)
    assert.equal("", ids(self))
  end)

  it("keeps the newest events, batch or no batch", function()
    local self = new { keep = 4 }
    self:accept(batch(1, 3))
    self:accept(batch(4, 3))
    assert.equal("u-3 u-4 u-5 u-6", ids(self))
    assert.same({ events = 4, evicted = 2, keep = 4, keep_bytes = 67108864,
      bytes = #batch(1, 3).text + #batch(4, 3).text }, self:summary().kept.valid)
    self:accept(batch(7, 1))
    assert.equal("u-4 u-5 u-6 u-7", ids(self))
    self:accept(batch(8, 9))
    assert.equal("u-13 u-14 u-15 u-16", ids(self))
    assert.equal(12, self:summary().kept.valid.evicted)
    assert.equal(16, self:summary().events.distinct)
  end)

  it("keeps within its bytes", function()
    local size = #batch(11, 2).text
    local self = new { keep_bytes = 2 * size }
    for i = 11, 19, 2 do self:accept(batch(i, 2)) end
    assert.equal("u-17 u-18 u-19 u-20", ids(self))
    self:accept(batch(21, 9))
    assert.equal("", ids(self))
    local kept = self:summary().kept.valid
    assert.same({ 0, 0, 19 }, { kept.events, kept.bytes, kept.evicted })
  end)

  it("keeps nothing with keep 0, and still counts", function()
    local self = new { keep = 0 }
    self:accept(batch(1, 3))
    self:refuse(batch(1, 2), { error_at(1) })
    assert.equal("", ids(self))
    assert.equal(3, self:summary().events.valid)
    assert.equal(1, self:summary().events.invalid)
  end)

  it("remembers no more identities than it may, and says how many it did not", function()
    local self = new { distinct = 3 }
    self:accept(batch(1, 5))
    self:accept(batch(1, 5))
    local events = self:summary().events
    assert.same({ 3, 4, 3 }, { events.distinct, events.untracked, self:summary().duplicates })
  end)

  it("keeps the guilty of a refused batch with their errors", function()
    local self = new()
    self:refuse(batch(1, 5), { error_at(1), error_at(3), error_at(1) })
    local events = self:summary().events
    assert.same({ 0, 2, 3 }, { events.valid, events.invalid, events.collateral })
    local found = self:newest_events { valid = false, since = 0, limit = 10 }
    assert.equal(2, #found)
    assert.same({
      sequence = 1, valid = false, received_at = 1708235644862, trace_id = "t", app_id = "app",
      access_id = "o", errors = { error_at(1), error_at(1) },
      event = { organizationId = "o", customerId = "u-2", eventCode = "c0",
        eventTime = 1708235644862 },
    }, cjson.decode(found[1]))
    assert.equal("u-2 u-4", ids(self))
    assert.equal("", ids(self, { valid = true }))
  end)

  it("gives an event back byte for byte", function()
    local self = new()
    local one = batch(1, 1)
    one.text = '[ {"organizationId":"o","customerId":"u","eventCode":"c","eventTime":1e12,'
      .. '"customerIdList":[],"x" : "\\u0041"} ]'
    one.events = cjson.decode(one.text)
    self:accept(one)
    local text = self:newest_events({ since = 0, limit = 1 })[1]
    assert.truthy(text:find(one.text:sub(3, -3), 1, true))
  end)

  it("filters by kind, place, customer and code, and gives the newest", function()
    local self = new()
    self:accept(batch(1, 4))
    self:refuse(batch(5, 1), { error_at(0) })
    self:accept(batch(6, 2))
    assert.equal("u-1 u-2 u-3 u-4 u-5 u-6 u-7", ids(self))
    assert.equal("u-1 u-2 u-3 u-4 u-6 u-7", ids(self, { valid = true }))
    assert.equal("u-5", ids(self, { valid = false }))
    assert.equal("u-5 u-6 u-7", ids(self, { limit = 3 }))
    assert.equal("u-6 u-7", ids(self, { since = 5 }))
    assert.equal("u-3 u-4 u-5 u-6 u-7", ids(self, { since = 2 }))
    assert.equal("", ids(self, { since = 7 }))
    assert.equal("u-3", ids(self, { customer_id = "u-3" }))
    assert.equal("u-1 u-3 u-5 u-7", ids(self, { event_code = "c1" }))
    assert.equal("u-5 u-7", ids(self, { event_code = "c1", limit = 2 }))
  end)

  it("notes calls and keeps the newest of them", function()
    local self = new { calls = 3 }
    for i = 1, 5 do
      self:note { outcome = i < 4 and "accepted" or "faulted", status = i < 4 and 200 or "closed",
        stored = false, events = 2, code = i == 2 and "X" or nil, received_at = i,
        trace_id = "t-" .. i }
    end
    local all = self:summary()
    assert.equal(5, all.requests)
    assert.same({ accepted = 3, refused = 0, faulted = 2 }, all.calls)
    assert.same({ ["200"] = 3, closed = 2 }, all.statuses)
    assert.same({ X = 1 }, all.codes)
    assert.equal(4, all.events.faulted)
    local list = {}
    for i, call in ipairs(self:newest_calls(10)) do list[i] = call.sequence end
    assert.same({ 3, 4, 5 }, list)
    assert.equal(5, self:newest_calls(1)[1].sequence)
    assert.same({}, self:newest_calls(0))
    assert.equal(4, self:find_call("t-4").sequence)
    assert.is_nil(self:find_call("t-1"))
  end)

  it("counts by minute what was stored and what was not, and lets old minutes go", function()
    local self = new { minutes = 2 }
    local function note(minute, events, stored)
      self:note { outcome = "accepted", status = 200, stored = stored, events = events,
        received_at = minute * 60000 + 59999 }
    end
    note(1, 5, true)
    note(2, 3, true)
    note(2, 4, false)
    note(4, 1, true)
    assert.same({ { at = 2, valid = 3, refused = 4 }, { at = 4, valid = 1, refused = 0 } },
      self.by_minute)
    assert.equal(4, self.refused)
  end)

  it("finds an event by its number, as long as it is kept", function()
    local self = new { keep = 3 }
    self:accept(batch(1, 4))
    self:refuse(batch(5, 2), { error_at(1) })
    local function customer(sequence)
      local text, entry = self:find_event(sequence)
      return text and cjson.decode(text).customerId, entry and entry.errors ~= nil
    end
    assert.same({ nil, nil }, { customer(1) })
    assert.same({ "u-2", false }, { customer(2) })
    assert.same({ "u-4", false }, { customer(4) })
    assert.same({ "u-6", true }, { customer(5) })
    assert.is_nil((customer(6)))
  end)

  it("forgets everything", function()
    local self = new()
    local empty = self:summary()
    self:accept(batch(1, 2))
    self:refuse(batch(1, 2), { error_at(0) })
    self:note { outcome = "refused", status = 200, stored = false, events = 2, received_at = 1 }
    self:reset()
    assert.same(empty, self:summary())
    assert.equal("", ids(self))
    self:accept(batch(1, 1))
    assert.equal(0, self:summary().duplicates)
  end)
end)
