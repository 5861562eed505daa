-- send_spec.lua
-- Makes events of flags and of JSON, and shows them without sending.
-- Does not know the service.
-- SPDX-License-Identifier: MIT
local cjson = require "cjson"
local command = require "support.command"

local unpack = table.unpack or unpack

describe("the command send", function()
  it("shows in a dry run what it would send", function()
    local code, out = command.run { "send", "--dry-run", "--customer-id", "u", "--event-code", "e",
      "--event-time", "1708235644862", "--entity-id", "x", "--attribute", "a=1=2",
      "--attribute-json", 'b={"c":[1]}', "--attribute-json", "d=true", "--id", "MOBILE=1",
      "--is-order" }
    assert.equal(0, code)
    local event = cjson.decode(out)
    assert.same({ "u", "e", 1708235644862, "x" },
      { event.customerId, event.eventCode, event.eventTime, event.entityId })
    assert.same({ a = "1=2", b = '{"c":[1]}', d = "true" }, event.extendAttributes)
    code, out = command.run({ "send", "--dry-run" },
      { input = '[{"customer_id":"a","event_code":"b"},{"customer_id":"c","event_code":"d"}]' })
    assert.equal(0, code)
    assert.equal(2, select(2, out:gsub("\n", "")))
  end)

  it("says what is wrong", function()
    for input, part in pairs { [""] = "standard input is empty", ["{"] = "standard input:",
      ["5"] = "expected an object" } do
      local code, _, err = command.run({ "send" }, { input = input })
      assert.equal(2, code)
      assert.truthy(err:find(part, 1, true), err)
    end
    local code, _, err = command.run({ "send" }, { terminal = { stdin = true } })
    assert.equal(2, code)
    assert.truthy(err:find("give --customer-id", 1, true), err)
    code, _, err = command.run { "send", "--customer-id", "u", "--attribute-json", "a={" }
    assert.equal(2, code)
    assert.truthy(err:find("--attribute-json: a: not JSON", 1, true), err)
    code, _, err = command.run { "send", "--customer-id", "u", "--event-code", "e" }
    assert.equal(2, code)
    assert.truthy(err:find("config.endpoint: missing", 1, true), err)
    for _, words in ipairs { { "--attribute", "a=1", "--attribute", "a=2" },
      { "--attribute", "a=1", "--attribute-json", "a=2" } } do
      code, _, err = command.run { "send", "--dry-run", "--customer-id", "u", "--event-code", "e",
        unpack(words) }
      assert.equal(2, code)
      assert.truthy(err:find("'a' stands twice", 1, true), err)
    end
    code, _, err = command.run({ "send", "--event-code", "e" }, { input = '{"customer_id":"u"}' })
    assert.equal(2, code)
    assert.truthy(err:find("--customer-id: missing; with any flag of the event, standard input "
      .. "is not read", 1, true), err)
    code, _, err = command.run { "send", "--customr-id", "u" }
    assert.equal(2, code)
    assert.truthy(err:find("did you mean '--customer-id'?", 1, true), err)
    code, _, err = command.run { "send", "--dry-run", "--customer-id", "u", "--event-code", "" }
    assert.equal(1, code)
    assert.truthy(err:find("event.event_code", 1, true), err)
  end)
end)
