--- send_spec.lua
-- Checks what send, check and batches say of every kind of answer, against the sandbox.
-- Does not know how a request is made.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local form_server = require "spec.support.form_server"
local quickaudience = require "quickaudience"
local sandboxes = require "spec.support.sandbox"
local socket = require "socket"

local EVENT = { customer_id = "u-42", event_code = "pay_order",
  attributes = { sku = "A-100", amount = 12.5 } }

describe("send", function()
  local sandbox, clients

  setup(function() sandbox = sandboxes.start() end)
  teardown(function() sandbox:stop() end)

  before_each(function()
    sandbox:reset()
    clients = {}
  end)
  after_each(function()
    for _, client in ipairs(clients) do client:close(0) end
  end)

  local function new_client(changes)
    local settings = { endpoint = sandbox.url, organization_id = sandbox.organization_id,
      app_id = sandbox.credentials.app_id, access_key = sandbox.credentials.access_key,
      access_secret = sandbox.credentials.access_secret }
    for name, value in pairs(changes or {}) do settings[name] = value end
    local client = assert(quickaudience.new(settings))
    clients[#clients + 1] = client
    return client
  end

  it("sends an event, as the sandbox reads it", function()
    local answer = assert(new_client():send(EVENT))
    assert.truthy(#answer.trace_id > 0)
    assert.equal(200, answer.http_status)
    assert.is_false(answer.verified)
    assert.truthy(answer.total > 0 and answer.total < 10)
    local arrived = sandbox:events()
    assert.equal(1, #arrived)
    assert.equal("u-42", arrived[1].event.customerId)
    assert.equal("demo-organization", arrived[1].event.organizationId)
    assert.same({ sku = "A-100", amount = "12.5" }, arrived[1].event.extendAttributes)
    assert.truthy(#(arrived[1].errors or {}) == 0)
  end)

  it("sends a list in one request, in order", function()
    local list = {}
    for i = 1, 500 do list[i] = { customer_id = "u-" .. i, event_code = "e" } end
    assert(new_client():send(list))
    local all = sandbox:all()
    assert.equal(1, #sandbox:calls())
    local arrived = sandbox:events()
    assert.equal(500, #arrived, cjson.encode(all))
    for i, entry in ipairs(arrived) do assert.equal("u-" .. i, entry.event.customerId) end
  end)

  it("adds what the configuration says, and lets the event win", function()
    local client = new_client { workspace_id = "w-1", attributes = { app = "shop", sku = "none" } }
    assert(client:send(EVENT))
    assert(client:send { customer_id = "u", event_code = "e", workspace_id = "w-2" })
    local arrived = sandbox:events()
    assert.equal("w-1", arrived[1].event.workspaceId)
    assert.same({ sku = "A-100", amount = "12.5", app = "shop" },
      arrived[1].event.extendAttributes)
    assert.equal("w-2", arrived[2].event.workspaceId)
    assert.same({ app = "shop", sku = "none" }, arrived[2].event.extendAttributes)
  end)

  it("sends nothing of a list with one bad event", function()
    local client = new_client()
    local answer, message, code = client:send { EVENT, { customer_id = "u" }, EVENT }
    assert.is_nil(answer)
    assert.equal("events[2].event_code: missing; a string is required", message)
    assert.equal("INVALID_EVENT", code)
    for events, expected in pairs {
      [{}] = "events: the list is empty",
      [{ EVENT, 7 }] = "events[2]: expected a table, got a number",
      [{ EVENT, x = 1 }] = "events.x: unknown key; expected a list of events",
      [{ customer_id = "u", event_code = "e", x = 1 }] = "event.x: unknown key; what describes "
        .. "the event goes into attributes, a further wire field into extra",
      [{ { customer_id = "u", event_code = "e", attributes = { p = 0 / 0 } } }] =
        "events[1].attributes.p: not a finite number",
    } do
      answer, message, code = client:send(events)
      assert.is_nil(answer)
      assert.equal(expected, message)
      assert.equal("INVALID_EVENT", code)
    end
    assert.equal(0, #sandbox:calls())
  end)

  -- ---- batches ----------------------------------------------------------------------------------

  it("sends a batch, and empties it", function()
    local batch = new_client():batch()
    assert.equal(0, #batch)
    for i = 1, 3 do assert.is_true(batch:add { customer_id = "u" .. i, event_code = "e" }) end
    assert.equal(3, #batch)
    local bytes = batch:bytes()
    local added, message, code = batch:add { customer_id = "u" }
    assert.is_nil(added)
    assert.equal("event.event_code: missing; a string is required", message)
    assert.equal("INVALID_EVENT", code)
    assert.equal(3, #batch)
    assert.equal(bytes, batch:bytes())
    assert.truthy(assert(batch:send()).trace_id)
    assert.equal(0, #batch)
    assert.equal(3, #sandbox:events())
    local answer
    answer, message, code = batch:send()
    assert.is_nil(answer)
    assert.equal("batch: empty", message)
    assert.equal("INVALID_EVENT", code)
  end)

  it("keeps a batch that was not accepted", function()
    sandbox:faults { status = 503 }
    local client = new_client()
    local batch = client:batch()
    assert(batch:add(EVENT))
    local _, _, code = batch:send()
    assert.equal("HTTP", code)
    assert.equal(1, #batch)
    assert(client:send(batch))
    assert.equal(0, #batch)
    assert.equal(1, #sandbox:events())
    batch:add(EVENT)
    batch:clear()
    assert.equal(0, #batch)
    assert.has_error(function() new_client():send(batch) end)
  end)

  it("reports a batch", function()
    local client = new_client()
    local batch = client:batch()
    for i = 1, 3 do assert(batch:add { customer_id = "u" .. i, event_code = "e" }) end
    assert.is_true(batch:report())
    assert.equal(0, #batch)
    assert.is_true(client:flush(10))
    assert.equal(3, #sandbox:events())
  end)

  -- ---- the table of answers ---------------------------------------------------------------------

  -- Sends into a fault; what came back.
  local function send_into(fault, settings)
    sandbox:faults(fault)
    local client = new_client(settings)
    local answer, message, code, details = client:send(EVENT)
    assert.is_nil(answer)
    return message, code, details
  end

  it("2xx without success: rejected, with the service's code and words", function()
    local message, code, details = send_into { error_code = "E42", error_desc = "no such event" }
    assert.equal("REJECTED", code)
    assert.truthy(message:find("^service answered 200 without success: E42: no such event "
      .. "%(trace [%x-]+%)$"), message)
    assert.equal("E42", details.service_code)
    assert.equal(200, details.http_status)
    assert.is_false(details.retriable)
    assert.is_false(details.possibly_stored)
  end)

  it("2xx with success but data false: rejected", function()
    local message, code = send_into { text = '{"success":true,"data":"false","errorCode":"D1"}' }
    assert.equal("REJECTED", code)
    assert.truthy(message:find("D1", 1, true), message)
    message, code = send_into { text = '{"success":true,"data":false}' }
    assert.equal("REJECTED", code)
    assert.truthy(message:find("^service answered 200 without success"), message)
  end)

  it("2xx with success: delivered, whatever the form of data", function()
    for _, text in ipairs { '{"success":true,"data":"true"}', '{"success":true,"data":true}',
      '{"success":true,"traceId":"t-1"}', '{"success":true,"data":null,"errorCode":null}' } do
      sandbox:faults { text = text }
      assert(new_client():send(EVENT))
    end
  end)

  it("2xx without success: what error_codes says of a retry", function()
    local codes = { BUSY = "retry", BAD = "reject", STOP = "pause" }
    for name, retriable in pairs { BUSY = true, BAD = false, STOP = false, OTHER = false } do
      local _, code, details = send_into({ error_code = name }, { error_codes = codes })
      assert.equal("REJECTED", code)
      assert.equal(retriable, details.retriable, name)
    end
  end)

  it("2xx that does not parse, or is too large: a bad response", function()
    for _, fault in ipairs { { body = "empty" }, { body = "garbage" }, { text = "[]" },
      { text = '{"success":"yes"}' }, { text = "{}" }, { body = "oversized" },
      { text = '{"success":true}}' } } do
      local message, code, details = send_into(fault)
      assert.equal("BAD_RESPONSE", code)
      assert.truthy(message:find("^service answered 200, but not as documented: .*; the events "
        .. "may have been stored$"), message)
      assert.is_true(details.possibly_stored)
      assert.is_true(details.retriable)
    end
    local message, code, details = send_into { body = "cut_off" }
    assert.equal("BAD_RESPONSE", code)
    assert.is_true(details.possibly_stored)
    assert.truthy(message:find("cut off", 1, true), message)
  end)

  local AUTH = "check app_id, access_key, access_secret and sign_encoding"
  local REDIRECT = "redirects are not followed (another host would get the signature), set "
    .. "endpoint to the final address"

  for status, expected in pairs {
    [400] = { "REJECTED" }, [422] = { "REJECTED" },
    [413] = { "HTTP", "the request is too large for it" },
    [401] = { "AUTH", AUTH }, [403] = { "AUTH", "check that these credentials may report events" },
    [301] = { "HTTP", REDIRECT }, [302] = { "HTTP", REDIRECT }, [307] = { "HTTP", REDIRECT },
    [308] = { "HTTP", REDIRECT },
    [404] = { "HTTP", "check endpoint and path" }, [405] = { "HTTP", "check endpoint and path" },
    [410] = { "HTTP" }, [418] = { "HTTP" }, [451] = { "HTTP" },
    [408] = { "HTTP", retriable = true }, [425] = { "HTTP", retriable = true },
    [429] = { "HTTP", retriable = true }, [500] = { "HTTP", retriable = true },
    [502] = { "HTTP", retriable = true }, [503] = { "HTTP", retriable = true },
    [504] = { "HTTP", retriable = true },
  } do
    it(status .. ": " .. expected[1], function()
      local headers = status < 400 and { Location = sandbox.url .. "/elsewhere" } or nil
      local message, code, details = send_into { status = status, error_code = "E1",
        error_desc = "words", headers = headers }
      assert.equal(expected[1], code)
      local plain = "service answered " .. status .. ": E1: words (trace "
      assert.equal(plain, message:sub(1, #plain))
      local hint = message:match("%(trace [%x-]+%); (.*)$")
      assert.equal(expected[2], hint)
      assert.equal(status, details.http_status)
      assert.equal(expected.retriable or false, details.retriable)
      assert.equal(status >= 500, details.possibly_stored)
      assert.equal("E1", details.service_code)
      assert.equal(1, #sandbox:calls()) -- tried once, no redirect followed
    end)
  end

  it("an answer that is a proxy's page: its status decides", function()
    local message, code = send_into { status = 502, text = "<html>Bad Gateway</html>" }
    assert.equal("HTTP", code)
    assert.equal("service answered 502", message)
  end)

  it("connection closed before or after the request was stored: network", function()
    for _, when in ipairs { "before", "after" } do
      local message, code, details = send_into { close = when }
      assert.equal("NETWORK", code)
      assert.truthy(message:find("^network: no answer from 127%.0%.0%.1:%d+: "), message)
      assert.is_true(details.possibly_stored)
      assert.is_true(details.retriable)
    end
    assert.equal(1, #sandbox:events())
  end)

  it("no answer in time: timeout", function()
    local message, code, details = send_into({ delay = 30 },
      { timeout = 0.2, connect_timeout = 0.2 })
    assert.equal("TIMEOUT", code)
    assert.truthy(message:find("^timeout: no answer from 127%.0%.0%.1:%d+ within 200 ms$"),
      message)
    assert.is_true(details.possibly_stored)
    assert.is_true(details.retriable)
  end)

  it("nobody there: network, and certainly not stored", function()
    local listener = assert(socket.bind("127.0.0.1", 0))
    local _, port = listener:getsockname()
    listener:close()
    local _, message, code, details =
      new_client({ endpoint = "http://127.0.0.1:" .. port }):send(EVENT)
    assert.equal("NETWORK", code)
    assert.truthy(message:find("^network: cannot connect to 127%.0%.0%.1:" .. port), message)
    assert.is_false(details.possibly_stored)
    assert.is_nil(details.http_status)
  end)

  it("a host without an address: network", function()
    local _, message, code = new_client({ endpoint = "https://nobody.invalid" }):send(EVENT)
    assert.equal("NETWORK", code)
    assert.equal("network: cannot resolve 'nobody.invalid'", message)
  end)

  -- ---- TLS, credentials, check ------------------------------------------------------------------

  it("verifies who answers", function()
    local server = form_server.start { tls = true }
    local _, message, code, details = new_client({ endpoint = server.url }):send(EVENT)
    assert.equal("TLS", code)
    assert.truthy(message:find("^tls: certificate of '127%.0%.0%.1' not trusted: "), message)
    assert.is_false(details.possibly_stored)
    local trusting = new_client { endpoint = server.url, ca_file = server.certificate }
    local answer, failure = trusting:check()
    assert(answer, failure)
    assert.is_true(answer.verified)
    assert.truthy(answer.tls > 0)
    -- Another name than the certificate's.
    _, message, code = new_client({ ca_file = server.certificate,
      endpoint = "https://127.0.0.2:" .. server.port }):send(EVENT)
    assert.truthy(code == "TLS" or code == "NETWORK", message)
    server:stop()
  end)

  it("checks the connection without sending an event", function()
    local answer = assert(new_client():check())
    assert.truthy(answer.trace_id)
    assert.truthy(math.abs(answer.clock_offset) < 5)
    assert.equal(0, #sandbox:events())
    assert.equal(1, #sandbox:calls())
  end)

  it("tells wrong credentials, and takes right ones at once", function()
    local secret = "hidden-value-of-the-secret"
    local client = new_client { access_secret = secret }
    local answer, message, code = client:check()
    assert.is_nil(answer)
    assert.equal("AUTH", code)
    assert.truthy(message:find(AUTH, 1, true), message)
    assert.falsy(message:find(secret, 1, true))
    assert(client:report(EVENT))
    assert(client:set_credentials(sandbox.credentials))
    assert(client:check())
    assert.is_true(client:flush(10))
    assert.equal(1, #sandbox:events())
    assert.equal(1, client:stats().delivered)
  end)

  it("resumes what was paused when it gets new credentials", function()
    local client = new_client { access_secret = "wrong", retry_base = 60, retry_max = 60 }
    for i = 1, 20 do assert(client:report { customer_id = "u" .. i, event_code = "e" }) end
    local ok, message, code, remaining = client:flush(0.5)
    assert.is_nil(ok)
    assert.equal("TIMEOUT", code)
    assert.equal(20, remaining)
    assert.truthy(message:find(AUTH, 1, true), message)
    assert.equal("paused", client:stats().state)
    assert.equal("AUTH", client:stats().reason)
    assert(client:set_credentials(sandbox.credentials))
    assert.is_true(client:flush(10))
    assert.equal(0, client:stats().dead)
    assert.equal(20, #sandbox:events { valid = true })
  end)

  it("learns the service's clock for the signature, and leaves events' times alone", function()
    sandbox:faults { clock_skew = 3600, faults = {} }
    local client = new_client()
    local answer, _, code, details = client:check()
    if not answer then
      assert.equal("AUTH", code)
      answer = assert(client:check())
    end
    assert.truthy(math.abs((answer or details).clock_offset - 3600) < 5)
    assert(client:send { customer_id = "u", event_code = "e", event_time = 1708235644862 })
    assert.equal(1708235644862, sandbox:events()[1].event.eventTime)
  end)

  it("shows the secret nowhere", function()
    local secret = sandbox.credentials.access_secret
    local client = new_client { on_delivery = function() end }
    assert(client:report(EVENT))
    sandbox:faults { { status = 401 }, { close = "before" }, { status = 500, body = "garbage" } }
    local shown = { tostring(client), tostring(client:batch()) }
    for _ = 1, 4 do
      local _, message, _, details = client:send(EVENT)
      shown[#shown + 1] = tostring(message) .. cjson.encode(details or {})
    end
    client:flush(10)
    shown[#shown + 1] = cjson.encode(client:stats())
    shown[#shown + 1] = client:prometheus()
    shown[#shown + 1] = tostring(select(2, client:set_credentials { access_secret = secret }))
    shown[#shown + 1] = tostring(select(2, quickaudience.new { access_secret = secret .. "\n",
      endpoint = sandbox.url, app_id = "a", access_key = "k", organization_id = "o" }))
    for _, text in ipairs(shown) do assert.falsy(text:find(secret, 1, true), text) end
    for name, value in pairs(client:_private()) do
      assert.not_equal(secret, value, name)
    end
    assert.falsy(sandbox:log():find(secret, 1, true))
  end)

  -- ---- the form, as a parser not ours reads it --------------------------------------------------

  describe("through Python's parser", function()
    local server, client

    setup(function() server = form_server.start() end)
    teardown(function() server:stop() end)
    before_each(function()
      client = new_client { endpoint = server.url, access_id = 'tenant "4\\8"; ä' }
    end)

    local function arrives(event)
      assert(client:send(event))
      local form = server:last()
      assert.is_nil(form.problem)
      assert.equal(2, #form.parts)
      assert.equal("accessId", form.parts[1].name)
      assert.equal('tenant "4\\8"; ä', form.parts[1].text)
      assert.equal("eventMessageModelListJson", form.parts[2].name)
      for _, part in ipairs(form.parts) do
        assert.equal(cjson.null, part.filename)
        assert.same({ "content-disposition" }, part.headers)
      end
      return form.parts[2].text, form
    end

    it("comes out byte for byte, every character among it", function()
      local everything = {}
      for byte = 0, 127 do everything[byte + 1] = string.char(byte) end
      local text = table.concat(everything) .. "\195\164\228\184\173\240\159\152\128\239\191\191"
        .. "\r\n--boundary--\r\n\r\nContent-Disposition: form-data; name=\"accessId\"\r\n"
      local event = { customer_id = text, event_code = "e", event_time = 1708235644862,
        organization_id = "o", attributes = { [text] = text } }
      local arrived = arrives(event)
      assert.equal("[" .. quickaudience.encode(event) .. "]", arrived)
      local read = cjson.decode(arrived)[1]
      assert.equal(text, read.customerId)
      assert.equal(text, read.extendAttributes[text])
    end)

    it("stands a value that holds the boundary", function()
      local _, form = arrives(EVENT)
      local boundary = form.headers["content-type"]:match('boundary="?([^";]+)')
      assert.truthy(#boundary >= 16)
      local event = { customer_id = "\r\n--" .. boundary .. "--\r\n", event_code = boundary,
        event_time = 1708235644862, organization_id = "o" }
      assert.equal("[" .. quickaudience.encode(event) .. "]", arrives(event))
    end)

    it("carries bytes that are not UTF-8 as U+FFFD", function()
      local event = { customer_id = "a\255\192b", event_code = "\237\160\128",
        event_time = 1708235644862, organization_id = "o" }
      assert.equal("[" .. quickaudience.encode(event) .. "]", arrives(event))
    end)

    it("carries a list of many sizes", function()
      for _, count in ipairs { 1, 2, 199, 1000 } do
        local list, texts = {}, {}
        for i = 1, count do
          list[i] = { customer_id = ("x"):rep(i % 300 + 1), event_code = "e", organization_id = "o",
            event_time = 1708235644862 + i }
          texts[i] = quickaudience.encode(list[i])
        end
        assert.equal("[" .. table.concat(texts, ",\n") .. "]", arrives(list))
      end
    end)

    it("waits for no permission to send a large one", function()
      local _, form = arrives { customer_id = ("x"):rep(300000), event_code = "e" }
      assert.is_nil(form.headers.expect)
      assert.truthy(form.headers["user-agent"]:find("^quickaudience/%d"))
      assert.truthy(form.headers.authorization:find("^%x+$"))
      assert.truthy(form.path:find("^/openapi/cloud/event/detail/receive%?"))
      assert.falsy(form.path:find(sandbox.credentials.access_secret, 1, true))
    end)
  end)
end)
