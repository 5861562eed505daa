-- game_server_spec.lua
-- Builds the game server of the examples and plays it against the sandbox; the scheduler too.
-- Does not know the library; it compares what the server says with what arrived.
-- SPDX-License-Identifier: MIT
local sandboxes = require "spec.support.sandbox"
local games = require "spec.support.game"
local shell = require "support.shell"

describe("the game server", function()
  local sandbox, game

  setup(function()
    sandbox = sandboxes.start { args = { "--keep", "100000" } }
    game = games.build()
  end)
  teardown(function()
    sandbox:stop()
    game:remove()
  end)
  before_each(function()
    sandbox:reset()
    game:restore()
  end)

  it("reports from every room and loses nothing at the end", function()
    local run = game:start { endpoint = sandbox.url, words = "--rooms 3 --events 90 --seconds 1" }
    local output, status = run:finish()
    assert.equal(0, status, output)
    local account = games.account(output)
    assert.truthy(account.accepted >= 1000, output)
    assert.equal(account.accepted, account.delivered)
    local all = sandbox:all()
    assert.equal(account.accepted, all.events.distinct)
    assert.equal(0, all.duplicates)
    assert.truthy(account.p99 and account.p999, output)
  end)

  it("ends on TERM, with every player having left", function()
    local run = game:start { endpoint = sandbox.url, words = "--rooms 2 --events 100" }
    sandbox:wait { events = 1000 }
    run:signal("TERM")
    local output, status = run:finish()
    assert.equal(0, status, output)
    assert.equal(games.account(output).accepted, sandbox:all().events.distinct)
    assert.truthy(#sandbox:events { event_code = "player_left" } > 0)
  end)

  it("loads new rules on HUP, and keeps the old ones if those are broken", function()
    local run = game:start { endpoint = sandbox.url, words = "--rooms 2 --events 20" }
    sandbox:wait { events = 20 }
    game:change("shot_fired", "arrow_flew")
    run:signal("HUP")
    assert.truthy(games.wait_for(function()
      return #sandbox:events { event_code = "arrow_flew", limit = 1 } > 0
    end))
    game:change("local M = {}", "local M = {")
    run:signal("HUP")
    local count = sandbox:all().events.valid
    assert.truthy(select(2, sandbox:wait { events = math.floor(count) + 200 }))
    run:signal("TERM")
    local output, status = run:finish()
    assert.equal(0, status, output)
    assert.truthy(output:find("rules loaded again: 2\n", 1, true), output)
    assert.truthy(output:find("rules.lua:", 1, true), "told of the broken ones: " .. output)
    local account = games.account(output)
    assert.equal(account.accepted, sandbox:all().events.distinct)
  end)

  it("plays on while the service is down, and delivers when it is back", function()
    sandbox:faults { { status = 503, times = "forever" } }
    local run = game:start { endpoint = sandbox.url, words = "--rooms 2 --events 40" }
    sandbox:wait { requests = 2 }
    sandbox:request("DELETE", "/sandbox/faults")
    assert.truthy(select(2, sandbox:wait { events = 100 }))
    run:signal("INT")
    local output = run:finish()
    local account = games.account(output)
    assert.equal(account.accepted, account.delivered, output)
    assert.equal(account.accepted, sandbox:all().events.distinct)
  end)

  it("is killed and started again with a spool: nothing that was on disk is lost", function()
    local spool = game.folder .. "/spool"
    local function lives(name)
      return { endpoint = sandbox.url,
        words = "--rooms 2 --events 40 --save 0.1 --spool " .. spool .. " --name " .. name }
    end
    sandbox:faults { { status = 503, times = "forever" } }
    local first = game:start(lives "first")
    for _ = 1, 6 do first:read_until("^room %d saved") end
    local saved = games.saved(first:kill())
    assert.truthy(saved["1"] and saved["1"] > 0 and saved["2"] and saved["2"] > 0)
    assert.equal(0, sandbox:all().events.valid)
    sandbox:clear_faults()

    local output, status = game:succeed(lives "second", spool)
    assert.equal(0, status, output)
    assert.equal("", games.missing(sandbox, "first", saved))
    assert.equal("", games.missing(sandbox, "second", games.saved(output)))
    local all = sandbox:all()
    assert.equal(0, all.duplicates)
    assert.truthy(all.events.distinct >= games.account(output).accepted + saved["1"] + saved["2"])
    assert.equal("", shell.check("ls " .. spool))
  end)

  it("keeps in the spool what it cannot deliver at its end, and counts it", function()
    local spool = game.folder .. "/kept"
    sandbox:faults { { status = 503, times = "forever" } }
    local output, status = game:start({ endpoint = sandbox.url,
      words = "--rooms 2 --events 40 --seconds 0.5 --spool " .. spool }):finish()
    assert.equal(0, status, output)
    local account = games.account(output)
    assert.truthy(account.accepted > 100, output)
    assert.equal(account.accepted, account.kept)
    sandbox:clear_faults()
    output, status = game:succeed({ endpoint = sandbox.url,
      words = "--events 0 --spool " .. spool }, spool)
    assert.equal(0, status, output)
    assert.equal(account.accepted, sandbox:all().events.distinct)
  end)

  it("says that saving needs a spool", function()
    local output, status = game:start({ endpoint = sandbox.url, words = "--save 1" }):finish()
    assert.equal(2, status)
    assert.truthy(output:find("needs a --spool", 1, true), output)
  end)

  it("says how it is called", function()
    local output, status = game:start({ endpoint = sandbox.url, words = "--rooms 0" }):finish()
    assert.equal(2, status)
    assert.truthy(output:find("must be a number from 1 to 64", 1, true))
  end)
end)

describe("the scheduler", function()
  it("waits for delivery reports by the descriptor", function()
    local sandbox = sandboxes.start()
    local output, status = shell.run("QUICKAUDIENCE_ENDPOINT=" .. sandbox.url
      .. " " .. sandboxes.lua() .. " examples/scheduler.lua")
    sandbox:stop()
    assert.equal("5 players, 40 turns: 40 delivered\n", output)
    assert.equal(0, status)
  end)
end)
