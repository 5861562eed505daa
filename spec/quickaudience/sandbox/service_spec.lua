--- service_spec.lua
-- Checks the answers of the sandbox, request in, answer out, without nginx.
-- Does not know the client.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local digest = require "openssl.digest"
local service = require "quickaudience.sandbox.service"
local signature = require "quickaudience.sandbox.signature"

local function md5(text) return digest.new("md5"):final(text) end

local PATH = "/openapi/cloud/event/detail/receive"
local SECRET = "the-secret"

local now, self

local function new(options)
  local all = { credentials = { { app_id = "app", access_key = "key", access_secret = SECRET } },
    md5 = md5, now = function() return now end }
  for name, value in pairs(options or {}) do all[name] = value end
  self = service.new(all)
  return self
end

local function form(fields)
  local text = ""
  for name, value in pairs(fields) do
    text = text .. '--b\r\nContent-Disposition: form-data; name="' .. name .. '"\r\n\r\n' .. value
      .. "\r\n"
  end
  return text .. "--b--\r\n"
end

local function event(changes)
  local all = { organizationId = "org", customerId = "u-1", eventCode = "view",
    eventTime = 1708235644862 }
  for name, value in pairs(changes or {}) do all[name] = value end
  return all
end

local function list_text(events)
  local texts = {}
  for i, one in ipairs(events) do texts[i] = cjson.encode(one) end
  return "[" .. table.concat(texts, ",\n") .. "]"
end

-- A whole, rightly signed call; `changes` overwrite parts of the request.
local function request_of(events, changes)
  local text = type(events) == "string" and events or list_text(events)
  local query = { appId = "app", accessKey = "key",
    timestamp = string.format("%.0f", now * 1000) }
  local request = {
    method = "POST", path = PATH, query = query,
    headers = {
      ["content-type"] = "multipart/form-data; boundary=b",
      authorization = signature.sign({ appId = "app", accessKey = "key",
        accessSecret = SECRET, timestamp = query.timestamp }, "form", md5),
    },
    body = form { accessId = "org", eventMessageModelListJson = text },
  }
  for name, value in pairs(changes or {}) do request[name] = value end
  return request
end

local function post(events, changes)
  local answer = self:handle(request_of(events, changes))
  local ok, body = pcall(cjson.decode, answer.body)
  return answer, ok and body or nil
end

local function get(path, query, method, body)
  local answer = self:handle { method = method or "GET", path = path, query = query or {},
    headers = {}, body = body or "" }
  return answer, answer.body and select(2, pcall(cjson.decode, answer.body))
end

describe("sandbox.service", function()
  before_each(function()
    now = 1708235644.862
    new()
  end)

  describe("the service's path", function()
    it("answers a batch exactly as documented", function()
      local answer, body = post({ event(), event { customerId = "u-2" } })
      assert.equal(200, answer.status)
      assert.truthy(answer.body:match('^{"data":true,"errorCode":null,"errorDesc":null,'
        .. '"success":true,"traceId":"%x+%-%x+%-%x+%-%x+%-%x+"}$'))
      assert.equal(36, #body.traceId)
      assert.equal(2, self.store.counts.valid)
    end)

    it("takes the empty list of the vendor's sample call", function()
      local _, body = post("[]")
      assert.is_true(body.success)
    end)

    it("gives every call a trace id of its own", function()
      local seen = {}
      for _ = 1, 100 do
        local _, body = post("[]")
        assert.is_nil(seen[body.traceId])
        seen[body.traceId] = true
      end
    end)

    it("refuses a whole batch for one event, and stores nothing of it as valid", function()
      local answer, body = post { event(), event { eventTime = 1708235644 },
        event { extendAttributes = { price = 12 }, customerId = "" } }
      assert.equal(200, answer.status)
      assert.same({ data = false, success = false, errorCode = "INVALID_EVENT",
        traceId = body.traceId, errorDesc = body.errorDesc }, body)
      assert.equal("[1].eventTime: looks like seconds; milliseconds are needed (and 2 more)",
        body.errorDesc)
      local counts = self.store.counts
      assert.same({ 0, 2, 1 }, { counts.valid, counts.invalid, counts.collateral })
      local _, found = get("/sandbox/events", { valid = "false" })
      assert.equal(2, #found.events)
      assert.equal(body.traceId, found.events[1].trace_id)
      assert.same({ { index = 1, path = "[1].eventTime", code = "OUT_OF_RANGE",
        message = "looks like seconds; milliseconds are needed" } }, found.events[1].errors)
    end)

    -- { status, code, path, what to change }
    local refusals = {
      { 400, "NOT_MULTIPART", "header.Content-Type",
        function(r) r.headers["content-type"] = "application/json" end },
      { 400, "MALFORMED_MULTIPART", "body", function(r) r.body = r.body:sub(1, -10) end },
      { 400, "CONTENT_ENCODING", "header.Content-Encoding",
        function(r) r.headers["content-encoding"] = "gzip" end },
      { 400, "MISSING_FIELD", "body.accessId",
        function(r) r.body = form { eventMessageModelListJson = "[]" } end },
      { 400, "MISSING_FIELD", "body.eventMessageModelListJson",
        function(r) r.body = form { accessId = "org", eventMessageModelList = "[]" } end },
      { 400, "EMPTY_FIELD", "body.accessId",
        function(r) r.body = form { accessId = "", eventMessageModelListJson = "[]" } end },
      { 400, "INVALID_UTF8", "body.eventMessageModelListJson", function(r)
        r.body = form { accessId = "org", eventMessageModelListJson = '["\255"]' }
      end },
      { 400, "MISSING_PARAMETER", "query.appId", function(r) r.query.appId = nil end },
      { 401, "UNKNOWN_APP_ID", "query.appId", function(r) r.query.appId = "x" end },
      { 401, "MISSING_AUTHORIZATION", "header.Authorization",
        function(r) r.headers.authorization = nil end },
      { 401, "SIGNATURE_MISMATCH", "header.Authorization",
        function(r) r.headers.authorization = ("0"):rep(32) end },
      { 401, "TIMESTAMP_SKEW", "query.timestamp",
        function(r) r.query.timestamp = "1608235644862" end },
    }
    for _, case in ipairs(refusals) do
      it("answers " .. case[1] .. " " .. case[2] .. " for " .. case[3], function()
        local request = request_of { event() }
        case[4](request)
        local answer = self:handle(request)
        local body = cjson.decode(answer.body)
        assert.equal(case[1], answer.status)
        assert.equal(case[2], body.errorCode)
        assert.is_false(body.success)
        assert.equal(case[3], body.errorDesc:match("^(.-): "))
        assert.is_nil(answer.body:find(SECRET, 1, true))
        assert.equal(0, self.store.counts.valid)
        local _, found = get("/sandbox/calls")
        local call = found.calls[1]
        assert.equal("refused", call.outcome)
        assert.same({ case[2], case[3], cjson.null },
          { call.errors[1].code, call.errors[1].path, call.errors[1].index })
      end)
    end

    it("answers 400 for a list that is no JSON, not strict JSON, or no array", function()
      for text, code in pairs { ["[{]"] = "INVALID_JSON", ["[NaN]"] = "INVALID_JSON",
        ["[0x10]"] = "INVALID_JSON", ['[{"a":"b\nc"}]'] = "INVALID_JSON", ["[1,]"] = "INVALID_JSON",
        ["{}"] = "NOT_AN_ARRAY", ["null"] = "NOT_AN_ARRAY", ['"[]"'] = "NOT_AN_ARRAY" } do
        local answer, body = post(text)
        assert.equal(400, answer.status)
        assert.equal(code, body.errorCode, text)
      end
    end)

    it("names a field that is nearly the right one", function()
      local _, body = post("[]", { body = form { accesId = "o",
        eventMessageModelListJson = "[]" } })
      assert.equal("body.accessId: is missing (there is 'accesId')", body.errorDesc)
    end)

    it("accepts only the organizations it was told", function()
      new { organizations = { "one", "org" } }
      local _, body = post("[]")
      assert.is_true(body.success)
      new { organizations = { "one" } }
      local answer
      answer, body = post("[]")
      assert.equal(403, answer.status)
      assert.equal("UNKNOWN_ORGANIZATION", body.errorCode)
    end)

    it("lets organizationId differ when lenient", function()
      local _, body = post { event { organizationId = "x" } }
      assert.equal("INVALID_EVENT", body.errorCode)
      new { lenient = true }
      _, body = post { event { organizationId = "x" } }
      assert.is_true(body.success)
    end)

    it("can stand elsewhere", function()
      new { path = "/gateway/receive" }
      assert.equal(404, post("[]").status)
      assert.equal(200, post("[]", { path = "/gateway/receive" }).status)
    end)

    it("bounds the errors it keeps with a call, not those it says", function()
      local many = {}
      for i = 1, 50 do many[i] = event { eventCode = "" } end
      local _, body = post(many)
      assert.truthy(body.errorDesc:find("and 49 more", 1, true))
      local _, found = get("/sandbox/calls")
      assert.equal(20, #found.calls[1].errors)
    end)
  end)

  describe("a fault", function()
    local function fault(script)
      local answer = get("/sandbox/faults", nil, "POST", cjson.encode(script))
      assert.equal(200, answer.status, answer.body)
    end

    it("answers a status in the service's shape and stores nothing", function()
      fault { status = 503, retry_after = 7, headers = { ["X-A"] = "b" } }
      local answer, body = post { event() }
      assert.equal(503, answer.status)
      assert.same({ ["Retry-After"] = "7", ["X-A"] = "b" }, answer.headers)
      assert.same({ false, "SANDBOX_FAULT" }, { body.success, body.errorCode })
      assert.equal(0, self.store.counts.valid)
      answer = post { event() }
      assert.equal(200, answer.status)
      assert.equal(1, self.store.counts.valid)
    end)

    it("answers an error code with status 200", function()
      fault { error_code = "LIMIT", error_desc = "slow down" }
      local answer, body = post { event() }
      assert.equal(200, answer.status)
      assert.same({ "LIMIT", "slow down", false, false },
        { body.errorCode, body.errorDesc, body.success, body.data })
    end)

    it("stores first when told so", function()
      fault { status = 500, store = true }
      assert.equal(500, post({ event() }).status)
      assert.equal(1, self.store.counts.valid)
    end)

    it("spoils the body of a call that was stored", function()
      local sound = #post({ event() }).body
      fault { { body = "empty" }, { body = "garbage" }, { body = "cut_off" },
        { body = "oversized" }, { body = "oversized", size = 5000 }, { text = "{}" } }
      assert.equal("", post({ event() }).body)
      assert.is_false((pcall(cjson.decode, post({ event() }).body)))
      local answer = post { event() }
      assert.same({ sound, math.floor(sound / 2) }, { #answer.body, answer.cut })
      answer = post { event() }
      assert.is_true(#answer.body > 1024 * 1024)
      assert.is_true(cjson.decode(answer.body).success)
      assert.equal(5000, #post({ event() }).body)
      assert.equal("{}", post({ event() }).body)
      assert.equal(7, self.store.counts.valid)
    end)

    it("closes the connection before or after storing", function()
      fault { { close = "before" }, { close = "after" } }
      assert.is_true(post({ event() }).close)
      assert.equal(0, self.store.counts.valid)
      assert.is_true(post({ event() }).close)
      assert.equal(1, self.store.counts.valid)
      assert.equal(2, self.store.counts.statuses.closed)
    end)

    it("delays and skews the clock it shows", function()
      fault { delay = 1.5, date_skew = -3600 }
      local answer, body = post { event() }
      assert.same({ 1.5, -3600, true }, { answer.delay, answer.date_skew, body.success })
    end)

    it("does not turn a refused call into an accepted one", function()
      fault { { delay = 1 }, { close = "after" } }
      local answer, body = post { event { customerId = "" } }
      assert.same({ 1, "INVALID_EVENT" }, { answer.delay, body.errorCode })
      post { event { customerId = "" } }
      assert.same({ 0, 2 }, { self.store.counts.valid, self.store.counts.invalid })
    end)

    it("meets a batch that holds a customer, even a badly signed one", function()
      fault { status = 500, customer_id = "bad", times = 2 }
      assert.equal(200, post({ event() }).status)
      assert.equal(500, post({ event(), event { customerId = "bad" } }).status)
      local request = request_of { event { customerId = "bad" } }
      request.headers.authorization = ("0"):rep(32)
      assert.equal(500, self:handle(request).status)
    end)

    it("passes calls on unchanged", function()
      fault { { pass = true, times = 2 }, { status = 500 } }
      assert.equal(200, post({ event() }).status)
      assert.equal(200, post({ event() }).status)
      assert.equal(500, post({ event() }).status)
      assert.same({ accepted = 2, refused = 0, faulted = 1 }, self.store:summary().calls)
    end)

    it("moves the clock by a rule", function()
      fault { clock_skew = 7200 }
      local answer, body = post { event() }
      assert.equal("TIMESTAMP_SKEW", body.errorCode)
      assert.equal(7200, answer.date_skew)
      now = now + 7200
      local request = request_of { event() }
      now = now - 7200
      assert.equal(200, self:handle(request).status)
    end)

    it("rejects customers by a rule until it is taken back", function()
      fault { reject_customer_ids = { "u-13", "u-14" } }
      for _ = 1, 3 do
        local answer, body = post { event(), event { customerId = "u-13" } }
        assert.same({ 200, "CUSTOMER_REJECTED" }, { answer.status, body.errorCode })
      end
      local _, body = post { event() }
      assert.is_true(body.success)
      get("/sandbox/faults", nil, "DELETE")
      _, body = post { event { customerId = "u-13" } }
      assert.is_true(body.success)
      assert.same({ 3, 3 }, { self.store.counts.invalid, self.store.counts.collateral })
    end)

    it("is refused with its path when it is wrong", function()
      local answer, body = get("/sandbox/faults", nil, "POST", '[{"stauts":500}]')
      assert.equal(400, answer.status)
      assert.same({ { path = "[0].stauts", code = "UNKNOWN_KEY",
        message = "unknown key 'stauts' (did you mean 'status'?)" } }, body.errors)
      answer, body = get("/sandbox/faults", nil, "POST", "{")
      assert.same({ 400, "INVALID_JSON" }, { answer.status, body.errors[1].code })
    end)
  end)

  describe("its own paths", function()
    it("count", function()
      post { event(), event() }
      post { event(), event { customerId = "" } }
      local _, all = get("/sandbox/all")
      assert.same({ 2, 1 }, { all.requests, all.duplicates })
      assert.same({ valid = 2, invalid = 1, collateral = 1, faulted = 0, distinct = 1,
        repeated = 1, untracked = 0 }, all.events)
      assert.same({ accepted = 1, refused = 1, faulted = 0 }, all.calls)
      assert.same({ INVALID_EVENT = 1 }, all.codes)
      assert.same({ ["200"] = 2 }, all.statuses)
      assert.same({ applied = 0, waiting = 0 }, all.faults)
    end)

    it("give events and calls as arrays, even empty ones", function()
      assert.equal('{"events":[]}', get("/sandbox/events").body)
      assert.equal('{"events":[]}', get("/sandbox/events", { limit = "0" }).body)
      assert.equal('{"calls":[]}', get("/sandbox/calls").body)
      post { event(), event { customerId = "u-2" } }
      local _, found = get("/sandbox/events", { customer_id = "u-2" })
      assert.equal(1, #found.events)
      assert.equal("u-2", found.events[1].event.customerId)
      _, found = get("/sandbox/calls")
      assert.same({}, found.calls[1].errors)
      assert.equal(2, found.calls[1].events)
    end)

    it("wait for what was asked", function()
      local answer = get("/sandbox/wait", { events = "2", timeout = "3" })
      assert.equal(3, answer.timeout)
      assert.is_false(answer.wait())
      post { event() }
      assert.is_false(answer.wait())
      post { event() }
      assert.is_true(answer.wait())
      assert.equal(200, answer.answer(true).status)
      local late = answer.answer(false)
      assert.equal(408, late.status)
      local body = cjson.decode(late.body)
      assert.same({ true, 2 }, { body.timed_out, body.events.valid })
      assert.is_false(get("/sandbox/wait", { distinct = "2" }).wait())
      assert.is_true(get("/sandbox/wait", { distinct = "1", requests = "2" }).wait())
      assert.is_false(get("/sandbox/wait", { requests = "2", invalid = "1" }).wait())
    end)

    it("refuse parameters they do not know, naming the nearest", function()
      for path, query in pairs { ["/sandbox/events"] = { vaild = "true" },
        ["/sandbox/calls"] = { limt = "3" }, ["/sandbox/wait"] = { event = "3" } } do
        local answer, body = get(path, query)
        assert.equal(400, answer.status)
        assert.equal("UNKNOWN_PARAMETER", body.errors[1].code)
        assert.truthy(body.errors[1].message:find("did you mean", 1, true), answer.body)
      end
      for path, query in pairs { ["/sandbox/events"] = { valid = "yes" },
        ["/sandbox/calls"] = { limit = "-1" },
        ["/sandbox/wait"] = { events = "3", timeout = "3601" } } do
        local answer, body = get(path, query)
        assert.same({ 400, "INVALID_VALUE" }, { answer.status, body.errors[1].code })
      end
      local answer, body = get("/sandbox/wait")
      assert.same({ 400, "MISSING_PARAMETER" }, { answer.status, body.errors[1].code })
    end)

    it("forget everything", function()
      post { event() }
      get("/sandbox/faults", nil, "POST", '{"status":500,"times":0}')
      assert.equal(200, get("/sandbox/reset", nil, "POST").status)
      local _, all = get("/sandbox/all")
      assert.same({ 0, 0, 0 }, { all.requests, all.events.valid, all.faults.waiting })
      assert.equal(200, post({ event() }).status)
    end)

    it("are listed at /", function()
      local text = get("/").body
      for _, path in ipairs { PATH, "/sandbox/all", "/sandbox/events", "/sandbox/calls",
        "/sandbox/wait", "/sandbox/reset", "/sandbox/faults" } do
        assert.truthy(text:find(path, 1, true), path)
      end
    end)
  end)

  it("answers 404 with the nearest path, and 405 with the right methods", function()
    local answer, body = get("/openapi/cloud/event/detail/recieve", nil, "POST")
    assert.same({ 404, "NOT_FOUND" }, { answer.status, body.errorCode })
    assert.truthy(body.errorDesc:find("did you mean '" .. PATH .. "'?", 1, true))
    answer, body = get("/sandbox/al")
    assert.truthy(body.errorDesc:find("/sandbox/all", 1, true), answer.body)
    answer, body = get(PATH)
    assert.same({ 405, "METHOD_NOT_ALLOWED", "POST" },
      { answer.status, body.errorCode, answer.headers.Allow })
    answer = get("/sandbox/faults", nil, "PUT")
    assert.equal("DELETE, GET, POST", answer.headers.Allow)
    assert.equal(0, self.store.counts.requests)
  end)
end)
