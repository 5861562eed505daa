--- wait_spec.lua
-- Checks who may wait, and how, with an nginx that is only played.
-- Does not know real time: naps move a clock.
-- SPDX-License-Identifier: MIT

local wait = require "quickaudience.wait"

-- An nginx in the given phase, whose naps are listed and take no time.
local function play_nginx(phase)
  local played = { naps = {}, clock = 1000 }
  played.get_phase = function()
    if phase == nil then error("no request found") end
    return phase
  end
  played.now = function() return played.clock end
  played.sleep = function(seconds)
    played.naps[#played.naps + 1] = seconds
    played.clock = played.clock + seconds
  end
  rawset(_G, "ngx", played)
  return played
end

describe("wait", function()
  after_each(function() rawset(_G, "ngx", nil) end)

  it("blocks where there is no nginx", function()
    assert.equal("block", wait.how("send"))
    rawset(_G, "ngx", { null = 1 }) -- somebody's table of that name
    assert.equal("block", wait.how("send"))
  end)

  it("yields where nginx lets it", function()
    for _, phase in ipairs { "rewrite", "access", "content", "timer", "ssl_cert", "preread",
      "ssl_session_fetch", "ssl_client_hello", "server_rewrite" } do
      play_nginx(phase)
      assert.equal("yield", wait.how("send"), phase)
    end
  end)

  it("refuses to wait elsewhere in nginx", function()
    for _, phase in ipairs { "log", "init", "init_worker", "set", "header_filter",
      "body_filter", "balancer", "ssl_session_store", "one_of_the_future" } do
      play_nginx(phase)
      local how, message, code = wait.how("send", "use report()")
      assert.is_nil(how)
      assert.equal("send: cannot wait in nginx's " .. phase .. " phase; use report()", message)
      assert.equal("CONFIG", code)
    end
    local _, message = wait.how("flush")
    assert.truthy(message:find("use a timer (ngx.timer.at)", 1, true))
    play_nginx(nil)
    _, message = wait.how("check")
    assert.truthy(message:find("check: cannot wait in nginx's unknown phase", 1, true))
  end)

  it("blocks when the worker serves nobody any more", function()
    play_nginx("exit_worker")
    assert.equal("block", wait.how("close"))
  end)

  it("blocks in slices, so that hooks run between", function()
    local slices = {}
    local function block(seconds)
      slices[#slices + 1] = seconds
      return #slices == 4
    end
    assert.is_true(wait.wait("block", error, block))
    assert.equal(4, #slices)
    for _, seconds in ipairs(slices) do assert.truthy(seconds > 0 and seconds <= 0.25) end
  end)

  it("blocks no longer than it may", function()
    local total, calls = 0, 0
    local function block(seconds)
      total, calls = total + seconds, calls + 1
      return false
    end
    assert.is_false(wait.wait("block", error, block, 1.1))
    assert.truthy(math.abs(total - 1.1) < 1e-9)
    calls = 0
    assert.is_false(wait.wait("block", error, block, 0))
    assert.equal(1, calls)
  end)

  it("naps from 1 ms on, longer and longer, up to 20 ms", function()
    local played = play_nginx("content")
    assert.is_true(wait.wait("yield", function() return #played.naps == 30 end, error))
    assert.equal(0.001, played.naps[1])
    for i = 2, #played.naps do
      assert.truthy(played.naps[i] >= played.naps[i - 1])
      assert.truthy(played.naps[i] <= 0.02)
    end
    assert.equal(0.02, played.naps[30])
  end)

  it("does not nap when it is done at once", function()
    local played = play_nginx("content")
    assert.is_true(wait.wait("yield", function() return true end, error, 0))
    assert.same({}, played.naps)
  end)

  it("yields no longer than it may", function()
    local played = play_nginx("content")
    assert.is_false(wait.wait("yield", function() return false end, error, 0.5))
    assert.truthy(played.clock > 1000.499 and played.clock < 1000.53)
  end)

  it("ends even when the clock is set back", function()
    local played = play_nginx("content")
    local sleep = played.sleep
    played.sleep = function(seconds)
      sleep(seconds)
      played.clock = played.clock - 3600
    end
    assert.is_false(wait.wait("yield", function() return false end, error, 0.5))
    assert.truthy(#played.naps < 100)
  end)
end)
