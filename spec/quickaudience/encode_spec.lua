--- encode_spec.lua
-- Checks what events become on the wire, and what is said about those that cannot go there.
-- Does not know how the encoder walks a table; lua-cjson reads what it wrote.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local generate = require "spec.support.generate"
local quickaudience = require "quickaudience"

local encode = quickaudience.encode

local EVENTS = 10000
local SEED = tonumber(os.getenv("SEED") or "") or os.time()

local function event_with(changes)
  local event = { customer_id = "u-42", event_code = "pay_order", event_time = 1708235644862 }
  for name, value in pairs(changes or {}) do event[name] = value end
  return event
end

local function decoded(changes)
  return cjson.decode((assert(encode(event_with(changes)))))
end

local function attribute(value)
  return decoded { attributes = { a = value } }.extendAttributes.a
end

local function refused(expected, event)
  local json, message, code = encode(event)
  assert.is_nil(json)
  assert.equal(expected, message)
  assert.equal("INVALID_EVENT", code)
  assert.same({ nil, expected, "INVALID_EVENT" }, { quickaudience.validate(event) })
end

-- Whether two values mean the same; numbers by value, as JSON knows only one kind.
local function same(expected, actual)
  if type(expected) ~= "table" or type(actual) ~= "table" then
    return expected == actual
  end
  for key, value in pairs(expected) do
    if not same(value, actual[key]) then return false end
  end
  for key in pairs(actual) do
    if expected[key] == nil then return false end
  end
  return true
end

-- An attribute's text against what it stands for.
local function same_attribute(expected, text)
  if type(text) ~= "string" then return false end
  if type(expected) == "table" then return same(expected, cjson.decode(text)) end
  if type(expected) == "number" then
    if tonumber(text) ~= expected then return false end
    if expected ~= math.floor(expected) then return #text <= #string.format("%.17g", expected) end
    -- A whole number has neither point nor exponent, as far as integers go.
    return text:find("^%-?%d+$") ~= nil or math.abs(expected) >= 2 ^ 63
  end
  return expected == text
end

local function same_attributes(expected, actual)
  for name, value in pairs(expected) do
    if not same_attribute(value, actual[name]) then return false end
  end
  for name in pairs(actual) do
    if expected[name] == nil then return false end
  end
  return true
end

local function by_content(a, b)
  return a.idMapping .. "\0" .. a.customerId < b.idMapping .. "\0" .. b.customerId
end

local function same_ids(expected, actual)
  table.sort(expected, by_content)
  table.sort(actual, by_content)
  return same(expected, actual)
end

local function same_event(expected, actual)
  for name, value in pairs(expected) do
    local compare = name == "extendAttributes" and same_attributes
      or name == "customerIdList" and same_ids or same
    if actual[name] == nil or not compare(value, actual[name]) then return false, name end
  end
  for name in pairs(actual) do
    if expected[name] == nil then return false, name end
  end
  return true
end

describe("encode", function()
  it("writes " .. EVENTS .. " random events as lua-cjson reads them (seed " .. SEED .. ")",
    function()
      local generator = generate.new(SEED)
      for i = 1, EVENTS do
        local event, wire = generator:event()
        local json, message = encode(event)
        if not json then error("event " .. i .. ": " .. message) end
        if json:find("\n", 1, true) then error("event " .. i .. ": a raw newline: " .. json) end
        local ok, name = same_event(wire, cjson.decode(json))
        if not ok then error("event " .. i .. ": " .. name .. " differs: " .. json) end
      end
    end)

  it("writes each field under its wire name", function()
    assert.same({ customerId = "u-42", eventCode = "pay_order", eventTime = 1708235644862,
      organizationId = "o", workspaceId = "w", entityId = "car-1", isOrder = "1",
      extendAttributes = { sku = "A-100", amount = "12.5", vip = "true" },
      comeFrom = "quick_tracking" },
      decoded { organization_id = "o", workspace_id = "w", entity_id = "car-1",
        is_order = true, attributes = { sku = "A-100", amount = 12.5, vip = true },
        extra = { comeFrom = "quick_tracking" } })
  end)

  it("accepts the wire's spelling", function()
    assert.same({ customerId = "u", eventCode = "e", eventTime = 1708235644862,
      organizationId = "o", workspaceId = "w", entityId = "x", isOrder = "0",
      extendAttributes = { a = "1" }, customerIdList = { { customerId = "i", idMapping = "T" } } },
      cjson.decode(encode { customerId = "u", eventCode = "e", eventTime = 1708235644862,
        organizationId = "o", workspaceId = "w", entityId = "x", isOrder = "0",
        extendAttributes = { a = 1 }, customerIdList = { { customerId = "i", idMapping = "T" } } }))
  end)

  it("sets the time of an event that has none", function()
    local before = os.time()
    local time = cjson.decode(encode { customer_id = "u", event_code = "e" }).eventTime
    assert.truthy(time >= before * 1000 and time < (os.time() + 1) * 1000)
  end)

  it("writes numbers in their shortest form", function()
    for text, value in pairs { ["12"] = 12.0, ["12.5"] = 12.5, ["0"] = -0.0, ["0.1"] = 0.1,
      ["1000000000000000"] = 1e15, ["-7"] = -7, ["9007199254740992"] = 2 ^ 53,
      ["-9007199254740992"] = -2 ^ 53, ["0.3333333333333333"] = 1 / 3,
      ["123456789012345680"] = 123456789012345680 } do
      assert.equal(text, attribute(value))
    end
    for _, value in ipairs { 1e300, 5e-324, 1.7976931348623157e308, 2 ^ 63, 2 ^ 64, -2 ^ 63 } do
      assert.equal(value, tonumber(attribute(value)))
    end
  end)

  it("keeps 64-bit integers exactly, where Lua has them", function()
    local max, integer = rawget(math, "maxinteger"), rawget(math, "tointeger")
    if not max then
      assert.equal("9007199254740992", attribute(2 ^ 53))
      return
    end
    for _, value in ipairs { max, -max - 1, max - 1, integer(2 ^ 53) + 1, -integer(2 ^ 53) - 1 } do
      assert.equal(tostring(value), attribute(value))
      assert.equal("[" .. tostring(value) .. "]", attribute { value })
    end
  end)

  it("writes booleans and tables as text", function()
    assert.equal("true", attribute(true))
    assert.equal("false", attribute(false))
    assert.equal('[{"id":"p1"}]', attribute { { id = "p1" } })
    assert.equal('["a",1,true]', attribute { "a", 1, true })
    assert.same({ x = { y = { "z" } } }, cjson.decode(attribute { x = { y = { "z" } } }))
    assert.equal("[1,null,3]", attribute { 1, cjson.null, 3 })
  end)

  it("writes ids in each of their shapes", function()
    local function ids(given)
      local list = decoded({ customer_ids = given }).customerIdList
      table.sort(list, by_content)
      return list
    end
    assert.same({ { customerId = "139****0000", idMapping = "MOBILE" },
      { customerId = "o1", idMapping = "OPEN_ID" }, { customerId = "o2", idMapping = "OPEN_ID" } },
      ids { MOBILE = "139****0000", OPEN_ID = { "o1", "o2" } })
    assert.same({ { customerId = "a", idMapping = "EMAIL" },
      { customerId = "b", idMapping = "EMAIL" } },
      ids { { id = "a", type = "EMAIL" }, { customerId = "b", idMapping = "EMAIL" } })
    assert.same({}, ids {})
  end)

  it("replaces bytes that are not UTF-8", function()
    local replacement = "\239\191\189"
    for given, written in pairs { ["\255"] = replacement, ["a\192b"] = "a" .. replacement .. "b",
      ["\237\160\128"] = replacement:rep(3), ["\240\159\152"] = replacement } do
      local text = attribute(given)
      -- How many characters a broken sequence becomes is not fixed by the contract.
      assert.equal(written:gsub(replacement, ""), text:gsub(replacement, ""))
      assert.truthy(text:find(replacement, 1, true), given)
    end
  end)

  it("names the required field that is missing", function()
    refused("event.customer_id: missing; a string is required", { event_code = "e" })
    refused("event.event_code: missing; a string is required", { customer_id = "u" })
    refused("event.customer_id: missing; a string is required", {})
    for _, name in ipairs { "customer_id", "event_code", "entity_id", "workspace_id",
      "organization_id" } do
      refused("event." .. name .. ": empty", event_with { [name] = "" })
    end
  end)

  it("names the field of a wrong type, and both types", function()
    local values = { { 7, "a number" }, { "x", "a string" }, { true, "a boolean" },
      { {}, "a table" }, { print, "a function" }, { io.stdout, "a userdata" },
      { coroutine.create(function() end), "a coroutine" } }
    local wanted = {
      customer_id = { "a string", "a string" }, event_code = { "a string", "a string" },
      organization_id = { "a string", "a string" }, workspace_id = { "a string", "a string" },
      entity_id = { "a string", "a string" },
      event_time = { "milliseconds since 1970 as a number", "a number" },
      attributes = { "a table", "a table" }, customer_ids = { "a table", "a table" },
      extra = { "a table", "a table" },
      is_order = { 'a boolean, "0" or "1"', "a boolean", "a string" },
    }
    for name, want in pairs(wanted) do
      for _, value in ipairs(values) do
        if value[2] ~= want[2] and value[2] ~= want[3] then
          refused("event." .. name .. ": expected " .. want[1] .. ", got " .. value[2],
            event_with { [name] = value[1] })
        end
      end
    end
    refused('event.is_order: expected a boolean, "0" or "1"', event_with { is_order = "yes" })
    refused("event.customerId: expected a string, got a number",
      { customerId = 42, event_code = "e" })
  end)

  it("names the attribute that cannot be sent", function()
    local function attributes(value)
      return event_with { attributes = { price = value } }
    end
    refused("event.attributes.price: not a finite number", attributes(0 / 0))
    refused("event.attributes.price: not a finite number", attributes(math.huge))
    refused("event.attributes.price: not a finite number", attributes(-math.huge))
    refused("event.attributes.price: expected a string, number, boolean or table, got a function",
      attributes(print))
    refused("event.attributes.price: expected a string, number, boolean or table, got a coroutine",
      attributes(coroutine.create(function() end)))
    refused("event.attributes.price[2].net: not a finite number",
      attributes { { net = 1 }, { net = 0 / 0 } })
    refused("event.attributes.price.f: a function cannot be sent", attributes { f = print })
    refused("event.attributes.price.f: a userdata cannot be sent", attributes { f = io.stdout })
    refused('event.attributes["a b"]: not a finite number',
      event_with { attributes = { ["a b"] = 0 / 0 } })
    refused("event.attributes: expected only strings as keys", event_with { attributes = { "x" } })
  end)

  it("finds cycles, and lets a table stand twice", function()
    local loop = {}
    loop.next = { back = loop }
    refused("event.attributes.a.next.back: a cycle: this table contains itself",
      event_with { attributes = { a = loop } })
    local own = {}
    own[1] = own
    refused("event.extra.x[1]: a cycle: this table contains itself",
      event_with { extra = { x = own } })
    local shared = { 1 }
    assert.equal("[[1],[1]]", attribute { shared, shared })
  end)

  it("bounds depth and holes", function()
    local deep = {}
    for _ = 1, 10000 do deep = { deep } end
    local _, message = encode(event_with { attributes = { a = deep } })
    assert.truthy(message:find("^event%.attributes%.a%[1%].*: nested too deep$"), message)
    refused("event.attributes.a: an array with more holes than values",
      event_with { attributes = { a = { [1] = 1, [1000000] = 2 } } })
  end)

  it("tells seconds and microseconds from milliseconds", function()
    local text = "event.event_time: expected milliseconds since 1970, "
    refused(text .. "1708235644 looks like seconds; multiply it by 1000",
      event_with { event_time = 1708235644 })
    refused(text .. "1708235644862000 looks like microseconds or nanoseconds",
      event_with { event_time = 1708235644862000 })
    refused(text .. "0 not a time after 1970", event_with { event_time = 0 })
    refused(text .. "-5 not a time after 1970", event_with { event_time = -5 })
    refused("event.event_time: expected milliseconds since 1970, not a whole number",
      event_with { event_time = 1708235644862.5 })
    refused("event.event_time: expected milliseconds since 1970, not a whole number",
      event_with { event_time = 0 / 0 })
    refused("event.event_time: expected milliseconds since 1970 as a number, got a string",
      event_with { event_time = "1708235644862" })
  end)

  it("names the field that was probably meant", function()
    refused("event.custmer_id: unknown key; did you mean 'customer_id'?",
      { custmer_id = "u", event_code = "e" })
    refused("event.Customer_ID: unknown key; did you mean 'customer_id'?",
      { Customer_ID = "u", event_code = "e" })
    refused("event.atributes: unknown key; did you mean 'attributes'?",
      event_with { atributes = {} })
    refused("event.elephants: unknown key; what describes the event goes into attributes, "
      .. "a further wire field into extra", event_with { elephants = 3 })
    refused("event[1]: unknown key; expected one event, got a list",
      { { customer_id = "u", event_code = "e" } })
    local _, message = encode(event_with { [true] = 1 })
    assert.truthy(message:find("unknown key; expected only strings as keys", 1, true), message)
  end)

  it("names the id that is wrong", function()
    refused("event.customer_ids.MOBILE: expected a string or a list of strings, got a number",
      event_with { customer_ids = { MOBILE = 139 } })
    refused("event.customer_ids.MOBILE[2]: expected a string, got a boolean",
      event_with { customer_ids = { MOBILE = { "1", true } } })
    refused("event.customer_ids[1].type: expected a string, got nil",
      event_with { customer_ids = { { id = "x" } } })
    refused("event.customer_ids[1].id: expected a string, got nil",
      event_with { customer_ids = { { type = "MOBILE" } } })
    refused("event.customer_ids[1].typ: unknown key; expected id and type",
      event_with { customer_ids = { { id = "x", typ = "MOBILE" } } })
    refused("event.customer_ids.MOBILE: the id is empty",
      event_with { customer_ids = { MOBILE = "" } })
  end)

  it("accepts no field twice", function()
    local _, message, code = encode(event_with { customerId = "other" })
    assert.truthy(message:find("given twice, as customer_id in both its spellings", 1, true))
    assert.equal("INVALID_EVENT", code)
    refused("event.extra.customerId: a field of the event itself; give it as 'customer_id'",
      event_with { extra = { customerId = "x" } })
  end)

  it("raises when it is given no table", function()
    for _, value in ipairs { "x", 7, true, print } do
      assert.has_error(function() encode(value) end)
      assert.has_error(function() quickaudience.validate(value) end)
    end
    assert.has_error(function() encode() end)
    assert.is_true(quickaudience.validate(event_with()))
  end)

  it("goes on after a failure as if nothing had been", function()
    for _ = 1, 100 do
      encode(event_with { attributes = { x = ("y"):rep(1000), z = 0 / 0 } })
    end
    assert.same(decoded(), decoded())
    assert.same({ a = "b" }, decoded({ attributes = { a = "b" } }).extendAttributes)
  end)
end)
