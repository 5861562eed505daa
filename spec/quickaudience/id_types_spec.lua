--- id_types_spec.lua
-- Checks the preset id types, and that a tenant's own ones pass as they are.
-- Does not know what the service does with them.
-- SPDX-License-Identifier: MIT

local quickaudience = require "quickaudience"

local PRESETS = { "ONEID", "MAISCRM_ID", "MOBILE", "TAOBAO_ID", "ALIPAY_ID", "UMENG_ID",
  "UNION_ID", "OPEN_ID", "EMAIL", "WEIBO_ID_ORG", "IDFA", "OAID", "IMEI", "IMSI", "MAC_ORG",
  "TAOBAO_NICK", "OUID" }

describe("id_types", function()
  it("lists the documented codes, each described", function()
    local count = 0
    for _, code in ipairs(PRESETS) do
      assert.truthy(#quickaudience.id_types[code] > 5, code)
    end
    for _ in pairs(quickaudience.id_types) do count = count + 1 end
    assert.equal(#PRESETS, count)
    assert.equal("mobile phone number", quickaudience.id_types.MOBILE)
  end)

  it("passes every other code through as it is", function()
    for _, code in ipairs { "EID", "QT_USERID", "oaid", "mobile", "a b", "\228\186\186" } do
      local json = assert(quickaudience.encode { customer_id = "c", event_code = "e",
        customer_ids = { [code] = "v" } })
      assert.truthy(json:find('{"customerId":"v","idMapping":"' .. code .. '"}', 1, true), json)
    end
  end)
end)
