-- terminal_spec.lua
-- Checks what counts as a terminal, and that a failure cannot steer one.
-- Does not know the commands.
-- SPDX-License-Identifier: MIT
local advice = require "quickaudience.cli.advice"
local terminal = require "quickaudience.cli.terminal"

describe("terminal", function()
  it("is what the context says, and never a file made up", function()
    assert.is_true(terminal.is({ terminal = { stdout = true } }, "stdout"))
    assert.is_false(terminal.is({ terminal = {} }, "stdout"))
    assert.is_false(terminal.is({ stdout = {} }, "stdout"))
  end)

  it("shows no control characters", function()
    local text = ""
    local context = { stderr = {} }
    function context.stderr.write(_, ...) text = text .. table.concat { ... } end
    terminal.fail(context, "send", "bad \27[2J words", "do this")
    assert.equal("quickaudience send: bad ?[2J words\n  do this\n", text)
  end)
end)

describe("advice", function()
  it("has a word for every code of a call", function()
    for _, code in ipairs { "CONFIG", "INVALID_EVENT", "QUEUE_FULL", "SPOOL_FULL", "TIMEOUT",
      "NETWORK", "TLS", "HTTP", "REJECTED", "AUTH", "BAD_RESPONSE", "SPOOL" } do
      assert.is_string(advice.of(code), code)
    end
    assert.is_nil(advice.of(nil))
  end)
end)
