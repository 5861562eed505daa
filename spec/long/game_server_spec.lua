-- game_server_spec.lua
-- Plays the game server of the examples for long: its budget, under valgrind and ThreadSanitizer,
-- and killed again and again.
-- Does not know the library; it compares what the server says with what arrived.
-- SPDX-License-Identifier: MIT
local games = require "spec.support.game"
local sandboxes = require "spec.support.sandbox"

local KILLS = 30
local IN_FLIGHT = 4 * 200 -- requests by events of a batch: what a kill may make arrive twice

describe("the game server", function()
  local sandbox, game

  setup(function()
    sandbox = sandboxes.start { args = { "--keep", "200000" } }
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
      words = "--rooms 3 --events 30 --seconds 60 --budget 10 --save 1 --spool "
        .. game.folder .. "/valgrind" }):finish()
    assert.equal(0, status, output)
    assert.equal(games.account(output).accepted, sandbox:all().events.distinct)
  end)

  for _, with in ipairs { "", " with a spool" } do
    it("is clean under ThreadSanitizer for a minute" .. with, function()
      local sanitized = games.build(games.TSAN)
      local words, spool = "--rooms 3 --events 90 --seconds 60 --budget 10", nil
      if with ~= "" then
        spool = sanitized.folder .. "/spool"
        words = words .. " --save 0.2 --spool " .. spool
      end
      -- Failures that pass, so that requests are repeated and chunks are written and read back.
      sandbox:faults { { status = 503, probability = 0.2, times = "forever" } }
      local prefix = games.tsan_module()
      local run = sanitized:start { endpoint = sandbox.url, words = words, prefix = prefix }
      if select(2, sandbox:wait { events = 10000, timeout = 60 }) then -- else it has ended
        sanitized:change("shot_fired", "arrow_flew")
        run:signal("HUP")
      end
      local output, status = run:finish()
      assert.equal(0, status, output)
      if spool then -- what was on its way when it ended is the next one's to deliver
        sandbox:clear_faults()
        local rest, ended = sanitized:succeed({ endpoint = sandbox.url, prefix = prefix,
          words = "--events 0 --spool " .. spool }, spool)
        assert.equal(0, ended, rest)
      end
      sanitized:remove()
      assert.equal(games.account(output).accepted, sandbox:all().events.distinct)
      assert.truthy(#sandbox:events { event_code = "arrow_flew", limit = 1 } > 0)
    end)
  end

  it("loses nothing that was on disk, however often it is killed", function()
    local spool, saved = game.folder .. "/killed", {}
    local function lives(name, prefix)
      return { endpoint = sandbox.url, prefix = prefix,
        words = "--rooms 3 --events 60 --save 0.05 --spool " .. spool .. " --name " .. name }
    end
    sandbox:faults { { status = 503, probability = 0.3, times = "forever" } }
    for kill = 1, KILLS do
      local name = "life" .. kill
      local moment = ("timeout -s KILL %.3f"):format(math.random(50, 1500) / 1000)
      local output = game:start(lives(name, moment)):finish()
      saved[name] = games.saved(output)
      for line in output:gmatch("room %d: ([^\n]+)") do
        assert.truthy(line:find("503", 1, true), line)
      end
    end
    local output, status = game:succeed(lives("last"), spool)
    assert.equal(0, status, output)
    saved.last = games.saved(output)
    for name, numbers in pairs(saved) do
      assert.equal("", games.missing(sandbox, name, numbers))
    end
    local twice = sandbox:all().duplicates
    assert.truthy(twice <= KILLS * IN_FLIGHT, twice)
    print(("# %d kills: %d events arrived twice"):format(KILLS, twice))
  end)
end)
