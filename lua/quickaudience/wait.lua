--- wait.lua
-- How a call waits: it blocks in a script, it yields in nginx, and where neither goes it refuses.
-- Does not know what is waited for.
-- SPDX-License-Identifier: MIT
local M = {}

-- Seconds. Between slices of a blocking wait Lua's hooks run, so that Ctrl-C ends it.
local SLICE = 0.2
-- An answer takes some milliseconds; whoever waits for longer needs no such precision.
local NAP_FIRST, NAP_GROWTH, NAP_MAX = 0.001, 1.5, 0.02

-- The phases of nginx in which ngx.sleep may be called (documented by lua-nginx-module). One that
-- is not listed may not yield as far as is known.
local YIELDING = {
  rewrite = true, server_rewrite = true, access = true, content = true, timer = true,
  preread = true, ssl_cert = true, ssl_session_fetch = true, ssl_client_hello = true,
}

-- The worker serves nobody any more, and its event loop has ended.
local BLOCKING = { exit_worker = true }

local function nginx()
  local ngx = rawget(_G, "ngx")
  if type(ngx) == "table" and ngx.get_phase and ngx.sleep then return ngx end
end

--- How a call may wait here.
---@param call string the method's name, for the message
---@param instead string|nil what to do where nothing may wait
---@return "block"|"yield"|nil
---@return string|nil message
---@return string|nil code
function M.how(call, instead)
  local ngx = nginx()
  if not ngx then return "block" end
  local known, phase = pcall(ngx.get_phase)
  if not known then phase = "unknown" end
  if YIELDING[phase] then return "yield" end
  if BLOCKING[phase] then return "block" end
  return nil, string.format("%s: cannot wait in nginx's %s phase; %s", call, phase,
    instead or "use a timer (ngx.timer.at)"), "CONFIG"
end

local function block_until(block, seconds)
  local left = seconds
  repeat
    local slice = math.min(left, SLICE)
    if block(slice) then return true end
    left = left - slice
  until left <= 0
  return false
end

local function yield_until(done, seconds)
  local ngx = nginx()
  local start, slept, nap = ngx.now(), 0, NAP_FIRST
  while not done() do
    -- The sum too: the clock may be set back.
    local left = seconds - math.max(slept, ngx.now() - start)
    if left <= 0 then return false end
    nap = math.min(nap, math.max(left, NAP_FIRST))
    ngx.sleep(nap)
    slept, nap = slept + nap, math.min(nap * NAP_GROWTH, NAP_MAX)
  end
  return true
end

--- Waits in the way that `how` said.
---@param how "block"|"yield"
---@param done fun(): boolean asks, at once
---@param block fun(seconds: number): boolean asks, and waits for at most so long
---@param seconds number|nil nil: without limit
---@return boolean done
function M.wait(how, done, block, seconds)
  seconds = seconds or math.huge
  if how == "yield" then return yield_until(done, seconds) end
  return block_until(block, seconds)
end

return M
