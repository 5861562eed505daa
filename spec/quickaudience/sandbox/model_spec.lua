--- model_spec.lua
-- Checks the event model field by field, and what makes two events the same.
-- Does not know the client's event walk.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local model = require "quickaudience.sandbox.model"

local function event(changes)
  local all = { organizationId = "org", customerId = "u-1", eventCode = "view",
    eventTime = 1708235644862 }
  for name, value in pairs(changes or {}) do all[name] = value end
  return all
end

local function without(name)
  local all = event()
  all[name] = nil
  return all
end

-- "path code" of every error.
local function errors_of(value, organization)
  local errors, list = {}, {}
  model.check(value, 3, errors, organization or "org")
  for i, failure in ipairs(errors) do
    assert.equal(3, failure.index)
    assert.is_string(failure.message)
    list[i] = failure.path .. " " .. failure.code
  end
  table.sort(list)
  return list
end

describe("sandbox.model.check", function()
  it("takes the smallest event and the fullest", function()
    assert.same({}, errors_of(event()))
    assert.same({}, errors_of(event {
      workspaceId = "w", entityId = "e", isOrder = "1",
      extendAttributes = { price = "12.5", empty = "", ["名"] = "值" },
      customerIdList = { { customerId = "139", idMapping = "MOBILE" },
        { customerId = "x", idMapping = "not a preset" } },
      comeFrom = "quick_tracking", anything = { 1, 2 },
    }))
  end)

  it("takes null for what is not required", function()
    local null = cjson.null
    assert.same({}, errors_of(event { workspaceId = null, entityId = null, isOrder = null,
      extendAttributes = null, customerIdList = null }))
  end)

  it("misses what is required", function()
    for _, name in ipairs { "organizationId", "customerId", "eventCode", "eventTime" } do
      assert.same({ "[3]." .. name .. " MISSING" }, errors_of(without(name)))
      assert.same({ "[3]." .. name .. " MISSING" }, errors_of(event { [name] = cjson.null }))
    end
    for _, name in ipairs { "organizationId", "customerId", "eventCode" } do
      assert.same({ "[3]." .. name .. " EMPTY" }, errors_of(event { [name] = "" }))
    end
  end)

  it("wants strings where the model has strings", function()
    for _, name in ipairs { "organizationId", "customerId", "eventCode", "workspaceId",
      "entityId", "isOrder" } do
      for _, value in ipairs { 1, true, {}, { 1 } } do
        assert.same({ "[3]." .. name .. " WRONG_TYPE" }, errors_of(event { [name] = value }))
      end
    end
  end)

  it("wants a time in whole milliseconds of our days", function()
    for _, value in ipairs { "1708235644862", 1708235644862.5, true, {} } do
      assert.same({ "[3].eventTime WRONG_TYPE" }, errors_of(event { eventTime = value }))
    end
    for _, value in ipairs { 1708235644, 0, -1, 1708235644862000, 99999999999 } do
      assert.same({ "[3].eventTime OUT_OF_RANGE" }, errors_of(event { eventTime = value }))
    end
    for _, value in ipairs { 100000000000, 100000000000000 } do
      assert.same({}, errors_of(event { eventTime = value }))
    end
  end)

  it("wants attributes to be strings, and names the one that is none", function()
    assert.same({ "[3].extendAttributes.price WRONG_TYPE" },
      errors_of(event { extendAttributes = { price = 12.5, ok = "x" } }))
    assert.same({ '[3].extendAttributes["a b"] WRONG_TYPE' },
      errors_of(event { extendAttributes = { ["a b"] = true } }))
    assert.same({ "[3].extendAttributes.n WRONG_TYPE" },
      errors_of(event { extendAttributes = { n = cjson.null } }))
    for _, value in ipairs { "x", 1, true, { "x" }, { 1 } } do
      assert.same({ "[3].extendAttributes WRONG_TYPE" },
        errors_of(event { extendAttributes = value }))
    end
  end)

  it("wants both members of each further id", function()
    assert.same({ "[3].customerIdList[1].customerId EMPTY",
      "[3].customerIdList[1].idMapping MISSING", "[3].customerIdList[2] WRONG_TYPE" },
      errors_of(event { customerIdList = {
        { customerId = "a", idMapping = "b" }, { customerId = "" }, "x" } }))
    assert.same({ "[3].customerIdList[0].customerId MISSING",
      "[3].customerIdList[0].idMapping WRONG_TYPE" },
      errors_of(event { customerIdList = { { customerId = cjson.null, idMapping = 1 } } }))
    for _, value in ipairs { "x", 1, { customerId = "a", idMapping = "b" } } do
      assert.same({ "[3].customerIdList WRONG_TYPE" }, errors_of(event { customerIdList = value }))
    end
  end)

  it("wants isOrder to be one of two texts", function()
    assert.same({}, errors_of(event { isOrder = "0" }))
    assert.same({ "[3].isOrder INVALID_VALUE" }, errors_of(event { isOrder = "true" }))
  end)

  it("wants the organization to be the caller's, unless told otherwise", function()
    assert.same({ "[3].organizationId ORGANIZATION_MISMATCH" }, errors_of(event(), "another"))
    local errors = {}
    model.check(event(), 0, errors, nil)
    assert.same({}, errors)
  end)

  it("wants an event to be an object", function()
    for _, value in ipairs { "x", 1, true, cjson.null, { 1 } } do
      assert.same({ "[3] WRONG_TYPE" }, errors_of(value))
    end
  end)

  it("finds every error of an event", function()
    assert.same({ "[3].customerId MISSING", "[3].eventCode MISSING", "[3].eventTime MISSING",
      "[3].organizationId MISSING" }, errors_of({}))
  end)
end)

describe("sandbox.model.identity", function()
  local function same(a, b) return model.identity(a) == model.identity(b) end

  it("does not depend on the order of attributes", function()
    local first, second = {}, {}
    for i = 1, 20 do first["k" .. i] = "v" .. i end
    for i = 20, 1, -1 do second["k" .. i] = "v" .. i end
    assert.is_true(same(event { extendAttributes = first }, event { extendAttributes = second }))
  end)

  it("differs when any part differs", function()
    local base = event { extendAttributes = { a = "1", b = "2" } }
    for name, value in pairs { customerId = "u-2", eventCode = "w", eventTime = 1708235644863,
      organizationId = "o2", workspaceId = "w", entityId = "e" } do
      local other = event { extendAttributes = { a = "1", b = "2" } }
      other[name] = value
      assert.is_false(same(base, other), name)
    end
    for _, attributes in ipairs { {}, { a = "1" }, { a = "1", b = "3" }, { a = "2", b = "1" },
      { a = "1", c = "2" }, { a = "1", b = "2", c = "" } } do
      assert.is_false(same(base, event { extendAttributes = attributes }))
    end
  end)

  it("cannot be misled by what stands in a value", function()
    assert.is_false(same(event { extendAttributes = { a = "1", b = "2" } },
      event { extendAttributes = { a = "11:b1:2" } }))
    assert.is_false(same(event { customerId = "a", eventCode = "bc" },
      event { customerId = "ab", eventCode = "c" }))
  end)

  it("takes null for nothing, and forgets the event before", function()
    model.identity(event { extendAttributes = { a = "1", b = "2", c = "3" } })
    assert.is_true(same(event(), event { workspaceId = cjson.null, entityId = cjson.null,
      extendAttributes = cjson.null }))
    assert.is_true(same(event { extendAttributes = {} }, event()))
    local pair = event { extendAttributes = { y = "1", z = "2" } }
    local before = model.identity(pair)
    model.identity(event { extendAttributes = { a = "1", b = "2", c = "3" } })
    assert.equal(before, model.identity(pair))
  end)
end)

describe("sandbox.model.split", function()
  it("cuts an array into its elements as they came", function()
    for text, elements in pairs {
      ["[]"] = {},
      [" [ \n ] "] = {},
      ["[1, \"a,]\",\n{\"b\" : [1,{}]} ]"] = { "1", '"a,]"', '{"b" : [1,{}]}' },
      ['[{"a":"\\"}, {"},{"b":"\\\\"}]'] = { '{"a":"\\"}, {"}', '{"b":"\\\\"}' },
      ["[[],[[1],2],null]"] = { "[]", "[[1],2]", "null" },
    } do
      assert.same(elements, model.split(text), text)
    end
  end)
end)

describe("sandbox.model.utf8_fault", function()
  it("takes what is UTF-8", function()
    for _, text in ipairs { "", "abc", "é名😀", "a\194\128b\223\191", "\224\160\128",
      "\237\159\191\238\128\128\239\191\191", "\240\144\128\128\244\143\191\191" } do
      assert.is_nil(model.utf8_fault(text))
    end
  end)

  it("finds the first byte that is not", function()
    for text, offset in pairs { ["\128"] = 0, ["ab\255"] = 2, ["é\192\128"] = 2,
      ["\193\191"] = 0, ["\224\159\191"] = 0, ["\237\160\128"] = 0, ["\240\143\191\191"] = 0,
      ["\244\144\128\128"] = 0, ["\245\128\128\128"] = 0, ["é\195"] = 2, ["\226\130"] = 0,
      ["\240\159\152"] = 0, ["\195("] = 0, ["\226\130("] = 0, ["\240\159\152("] = 0,
      ["名\226(\161"] = 3 } do
      assert.equal(offset, model.utf8_fault(text))
    end
  end)
end)

describe("sandbox.model.control_fault", function()
  it("lets white space stand between values, and escapes inside strings", function()
    for _, text in ipairs { "[]", '[{"a":"b"},\n{"c":"d"}]', '[\n\t{"a" :\r\n"\\n\\"\\\\"}\n]',
      '\n[]' } do
      assert.is_nil(model.control_fault(text))
    end
  end)

  it("finds one inside a string", function()
    assert.equal(2, model.control_fault('["\n"]'))
    assert.equal(10, model.control_fault('[{"a":"\\"}\n,"}]'))
    assert.equal(14, model.control_fault('[{"a":"b"},\n{"\t":1}]'))
    assert.equal(3, model.control_fault('["a\1"]'))
  end)
end)
