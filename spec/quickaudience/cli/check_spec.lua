-- check_spec.lua
-- Holds the lines of `check` against answers and failures made up.
-- Does not know the network.
-- SPDX-License-Identifier: MIT
local check = require "quickaudience.cli.check"

describe("the command check", function()
  local function marks(result, failure, https)
    local found = {}
    for _, line in ipairs(check.lines(result, failure, https)) do
      found[#found + 1] = line.name .. "=" .. tostring(line.ok)
    end
    return table.concat(found, " ")
  end

  it("finds everything well", function()
    assert.equal("dns=true connect=true tls=true clock=true signature=true", marks({ dns = 0.1,
      connect = 0.1, tls = 0.2, http_status = 200, clock_offset = 0.2 }, {}, true))
  end)

  it("finds the stage that broke", function()
    local rest = " clock=nil signature=nil"
    assert.equal("dns=false connect=nil tls=nil" .. rest,
      marks({}, { message = "network: cannot resolve 'x'", code = "NETWORK" }, true))
    assert.equal("dns=true connect=false tls=nil" .. rest,
      marks({}, { message = "network: cannot connect to x", code = "NETWORK" }, true))
    assert.equal("dns=true connect=true tls=false" .. rest,
      marks({ dns = 1, connect = 1 }, { message = "tls: no", code = "TLS" }, true))
    assert.equal("dns=true connect=true tls=true answer=false" .. rest,
      marks({ dns = 1, connect = 1 }, { message = "no answer", code = "TIMEOUT" }, false))
  end)

  it("finds a wrong signature, a wrong path and a wrong clock", function()
    local answered = { dns = 1, connect = 1, tls = 1, clock_offset = 0 }
    answered.http_status = 401
    assert.equal("dns=true connect=true tls=true clock=true signature=false",
      marks(answered, { message = "no", code = "AUTH" }, true))
    answered.http_status = 404
    assert.equal("dns=true connect=true tls=true answer=false clock=true signature=nil",
      marks(answered, { message = "no", code = "HTTP" }, true))
    answered.http_status, answered.clock_offset = 200, -3600
    local lines = check.lines(answered, {}, true)
    assert.same({ "clock", false, "the service's clock is 3600.0 s behind" },
      { lines[4].name, lines[4].ok, lines[4].detail })
    assert.truthy(lines[4].advice:find("NTP", 1, true))
  end)
end)
