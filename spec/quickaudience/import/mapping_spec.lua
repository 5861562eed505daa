-- mapping_spec.lua
-- Makes events of records and constants.
-- Does not know files.
-- SPDX-License-Identifier: MIT
local cjson = require "cjson"
local mapping = require "quickaudience.import.mapping"

describe("mapping", function()
  it("puts columns where they belong", function()
    local targets = assert(mapping.columns({ "user", "eventCode", "event_time", "is_order", "price",
      "secret", "phone", "" }, { user = "customer_id", secret = "-",
      ["7"] = "customer_ids.MOBILE" }))
    local event = assert(mapping.event(targets, { "u", "e", "1708235644862", "true", "1.50", "x",
      "139", "y" }, 8))
    assert.same({ customer_id = "u", event_code = "e", event_time = 1708235644862, is_order = true,
      attributes = { price = "1.50" }, customer_ids = { MOBILE = "139" } }, event)
    assert.same({ customer_id = "u", event_time = "soon", is_order = "?" },
      mapping.event(targets, { "u", "", "soon", "?", "", "", "", "" }, 8))
    assert.same({ nil, "2 fields, expected 8" }, { mapping.event(targets, { "a", "b" }, 2) })
  end)

  it("says what is unknown", function()
    local _, message = mapping.columns({ "a" }, { a = "nothing" })
    assert.truthy(message:find("unknown field 'nothing'; expected one of customer_id", 1, true))
    _, message = mapping.columns({ "a", "b" }, { c = "customer_id" })
    assert.equal("there is no column 'c'; the columns are a, b", message)
    _, message = mapping.target "event_cod"
    assert.equal("unknown field 'event_cod'; did you mean 'event_code'?", message)
  end)

  it("does not let two columns fill one field", function()
    for _, given in ipairs { { user = "customer_id" }, { user = "attributes.x",
      note = "attributes.x", customer_id = "-" } } do
      local found, message = mapping.columns({ "customer_id", "user", "note" }, given)
      assert.is_nil(found)
      assert.truthy(message:find("'user'", 1, true), message)
      assert.truthy(message:find("both fill", 1, true), message)
    end
    assert(mapping.columns({ "a", "b", "", "" }, { a = "-", b = "-" }))
  end)

  it("gives events what they lack", function()
    local give = assert(mapping.defaults { { "event_code", "e" }, { "attributes.a", "1" },
      { "customer_ids.MOBILE", "2" } })
    local event = {}
    give(event)
    assert.same({ event_code = "e", attributes = { a = "1" }, customer_ids = { MOBILE = "2" } },
      event)
    event = { eventCode = "own", extendAttributes = { b = "2" }, customer_ids = { MOBILE = "9" } }
    give(event)
    assert.same({ eventCode = "own", extendAttributes = { a = "1", b = "2" },
      customer_ids = { MOBILE = "9" } }, event)
    assert.is_nil(mapping.defaults {})
    assert.is_nil((mapping.defaults { { "x", "y" } }))
  end)

  it("takes nulls out", function()
    local event = { workspace_id = cjson.null, attributes = { a = cjson.null, b = 1 } }
    assert.is_true(mapping.drop_nulls(event))
    assert.same({ attributes = { b = 1 } }, event)
    assert.is_false(mapping.drop_nulls(event))
  end)
end)
