-- game_server_spec.lua
-- Plays the game server of the examples for long: its budget, and under valgrind.
-- Does not know the library; it compares what the server says with what arrived.
-- SPDX-License-Identifier: MIT
local games = require "spec.support.game"
local sandboxes = require "spec.support.sandbox"

describe("the game server", function()
  local sandbox, game

  setup(function()
    sandbox = sandboxes.start { args = { "--keep", "200" } }
    game = games.build()
  end)
  teardown(function()
    sandbox:stop()
    game:remove()
  end)
  before_each(function() sandbox:reset() end)

  it("loses nothing in a minute at 200 events a frame", function()
    local output, status = game:start({ endpoint = sandbox.url,
      words = "--rooms 2 --seconds 60" }):finish()
    assert.equal(0, status, output)
    local account = games.account(output)
    -- Printed, not asserted: what it is depends on what else the machine does.
    print(("# processor time in the module, p99.9 of a frame: %.3f ms"):format(account.p999))
    assert.equal(account.accepted, sandbox:all().events.distinct)
  end)

  it("is clean under valgrind for a minute", function()
    local output, status = game:start({ endpoint = sandbox.url,
      prefix = "valgrind --quiet --error-exitcode=9 --leak-check=full "
        .. "--errors-for-leak-kinds=definite",
      words = "--rooms 3 --events 30 --seconds 60 --budget 10" }):finish()
    assert.equal(0, status, output)
    assert.equal(games.account(output).accepted, sandbox:all().events.distinct)
  end)
end)
