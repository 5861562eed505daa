-- quantity_spec.lua
-- Reads sizes, durations, numbers and switches, good and bad.
-- Does not know the settings.
-- SPDX-License-Identifier: MIT
local quantity = require "quickaudience.cli.quantity"

describe("quantity", function()
  it("reads sizes", function()
    for text, bytes in pairs { ["512KiB"] = 524288, ["1.5kB"] = 1500, ["64 MiB"] = 67108864,
      ["1024"] = 1024, ["1gib"] = 1073741824, ["7B"] = 7 } do
      assert.equal(bytes, (quantity.bytes(text)), text)
    end
  end)

  it("reads durations", function()
    for text, seconds in pairs { ["200ms"] = 0.2, ["10s"] = 10, ["5min"] = 300, ["2h"] = 7200,
      ["1d"] = 86400, ["0.5"] = 0.5, ["3 s"] = 3 } do
      assert.equal(seconds, (quantity.seconds(text)), text)
    end
  end)

  it("reads switches and numbers", function()
    assert.equal(true, quantity.switch("Yes"))
    assert.equal(false, (quantity.switch("0")))
    assert.equal(-1.5, quantity.number("-1.5"))
  end)

  it("says what it expected", function()
    for _, case in ipairs {
      { quantity.bytes, "12 apples", "unknown unit 'apples'; expected a size such as 512KiB" },
      { quantity.bytes, "KiB", "expected a size such as 512KiB, got 'KiB'" },
      { quantity.seconds, "-1s", "expected a duration such as 200ms or 10s, got '-1s'" },
      { quantity.seconds, "", "expected a duration such as 200ms or 10s, got ''" },
      { quantity.number, "0x10", "expected a number, got '0x10'" },
      { quantity.number, "nan", "expected a number, got 'nan'" },
      { quantity.switch, "maybe", "expected true or false, got 'maybe'" },
      { quantity.whole("--n", 1, 9), "10", "--n: must be a whole number from 1 to 9, is '10'" },
      { quantity.pair("--p", "a=b"), "x", "--p: expected a=b, got 'x'" },
    } do
      local value, message = case[1](case[2])
      assert.is_nil(value)
      assert.equal(case[3], message)
    end
  end)
end)
