--- page_spec.lua
-- Checks what the sandbox tells its page: news in bounded pieces, one event in full.
-- Does not know browsers; spec/integration/page_spec.lua does.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local digest = require "openssl.digest"
local service = require "quickaudience.sandbox.service"

local self

local function get(path, query, headers)
  local answer = self:handle { method = "GET", path = path, query = query or {},
    headers = headers or {}, body = "" }
  return answer, select(2, pcall(cjson.decode, answer.body))
end

local function news(query)
  return select(2, get("/sandbox/page/news", query))
end

local EVENT = '{"organizationId":"o","customerId":"u-%d","eventCode":"%s","eventTime":420000}'

-- A batch that came at minute 7: customers u-1 to u-count.
local function accept(count, code)
  local texts = {}
  for i = 1, count do
    texts[i] = EVENT:format(i, code or "View")
  end
  local text = "[" .. table.concat(texts, ",") .. "]"
  local trace = "t-" .. self.store.sequence
  self.store:accept { text = text, events = cjson.decode(text), trace_id = trace,
    received_at = 420000 }
  self.store:note { outcome = "accepted", status = 200, stored = true, events = count, errors = {},
    received_at = 420000, trace_id = trace }
end

describe("sandbox.page", function()
  before_each(function()
    self = service.new { credentials = {}, now = function() return 480 end,
      md5 = function(text) return digest.new("md5"):final(text) end }
  end)

  it("is a document with a policy of its own each time", function()
    local one = get("/", nil, { accept = "text/html,application/xhtml+xml" })
    local two = get("/", nil, { accept = "text/html" })
    assert.equal("text/html; charset=utf-8", one.headers["Content-Type"])
    assert.is_nil(one.body:find("{{", 1, true))
    assert.not_equal(one.headers["Content-Security-Policy"],
      two.headers["Content-Security-Policy"])
    assert.truthy(get("/").headers["Content-Type"]:find("text/plain", 1, true))
  end)

  it("tells what is new since it was last asked", function()
    accept(3)
    local first = news()
    assert.same({ 3, 1, 3, 0, 1 }, { first.sequence, first.call, first.valid, first.refused,
      first.requests })
    assert.same({ { 7, 3, 0 } }, first.minutes)
    assert.same({ n = 1, ok = true, at = 420000, customer = "u-1", code = "View" },
      first.events[1])
    accept(2)
    local second = news { run = first.run, since = "3", since_call = "1" }
    assert.same({ 4, 5 }, { second.events[1].n, second.events[2].n })
    assert.equal(1, #news({ limit = "1" }).events)
    assert.equal(0, #news({ limit = "0" }).events)
  end)

  it("starts over when everything was forgotten", function()
    accept(3)
    local run = news().run
    self:handle { method = "POST", path = "/sandbox/reset", query = {}, headers = {}, body = "" }
    accept(1)
    local again = news { run = run, since = "3", since_call = "1" }
    assert.not_equal(run, again.run)
    assert.equal(1, #again.events)
  end)

  it("filters by parts of names, whatever their case", function()
    accept(12)
    accept(1, "pay")
    assert.equal(4, #news({ customer_id = "U-1", event_code = "IEW" }).events)
    assert.equal(1, #news({ event_code = "pay" }).events)
    local _, complaint = get("/sandbox/page/news", { limit = "1001" })
    assert.equal("query.limit", complaint.errors[1].path)
  end)

  it("shortens what a row shows, and never within a character", function()
    accept(1, ("é"):rep(150))
    accept(1, "a" .. ("é"):rep(150))
    local events = news().events
    assert.equal(("é"):rep(99) .. "…", events[1].code)
    assert.equal("a" .. ("é"):rep(99) .. "…", events[2].code)
  end)

  it("shows one event as it came, with its call", function()
    accept(2)
    local _, detail = get("/sandbox/page/detail", { sequence = "2" })
    assert.equal(EVENT:format(2, "View"), detail.text)
    assert.equal(1, detail.request.sequence)
    assert.is_nil(detail.errors)
    assert.same({}, select(2, get("/sandbox/page/detail", { sequence = "9" })))
    assert.equal("t-0", select(2, get("/sandbox/page/detail", { call = "1" })).request.trace_id)
  end)
end)
