--- nearest_spec.lua
-- Checks the search for the name that was meant.
-- Does not know the sandbox's names.
-- SPDX-License-Identifier: MIT

local nearest = require "quickaudience.sandbox.nearest"

local KNOWN = { "status", "times", "error_code", "retry_after", "customer_id" }

describe("sandbox.nearest", function()
  it("finds the name through usual slips", function()
    for name, meant in pairs { tims = "times", tiems = "times", stauts = "status",
      errorCode = "error_code", ["retry-after"] = "retry_after", customerId = "customer_id",
      Status = "status" } do
      assert.equal(meant, nearest.find(name, KNOWN), name)
    end
  end)

  it("finds nothing when nothing is near", function()
    assert.is_nil(nearest.find("elephant", KNOWN))
    assert.is_nil(nearest.find(("x"):rep(1000), KNOWN))
    assert.is_nil(nearest.find("times", {}))
  end)

  it("names the near one, or all", function()
    assert.equal("unknown key 'tims' (did you mean 'times'?)",
      nearest.message("key", "tims", KNOWN))
    assert.equal("unknown key 'elephant' (known: status, times)",
      nearest.message("key", "elephant", { "status", "times" }))
  end)
end)
