--- peer.lua
-- The same page view sent as loggers for nginx usually do: encoded on the event loop, by a timer.
-- Does not know signatures, retries or what to do with an answer: it is the least such a way costs.
-- SPDX-License-Identifier: MIT
local cjson = require "cjson"

local M = {}

local BATCH, LINGER, KEPT = 200, 0.2, 100000

local function post(host, port, body)
  local socket = ngx.socket.tcp()
  if not socket:connect(host, port) then return end
  socket:send { "POST /openapi HTTP/1.1\r\nHost: ", host, "\r\nContent-Type: application/json\r\n",
    "Content-Length: ", #body, "\r\n\r\n", body }
  local length = 0
  repeat
    local line = socket:receive("*l")
    length = line and tonumber(line:match("^[Cc]ontent%-[Ll]ength: (%d+)")) or length
  until not line or line == ""
  socket:receive(length)
  socket:setkeepalive(10000, 8)
end

--- A function for log_by_lua.
---@param sink string host:port
function M.new(sink)
  local host, port = sink:match("^(.*):(%d+)$")
  local waiting, count, pending = {}, 0, false

  local function flush()
    pending = false
    while count > 0 do
      local batch, size = waiting, math.min(count, BATCH)
      waiting = {}
      if count > BATCH then
        for i = BATCH + 1, count do waiting[i - BATCH] = batch[i] end
      end
      count = count - size
      post(host, port, "[" .. table.concat(batch, ",", 1, size) .. "]")
    end
  end

  return function()
    local var = ngx.var
    if count >= KEPT then return end
    count = count + 1
    waiting[count] = cjson.encode { customerId = var.arg_u, eventCode = "page_view",
      organizationId = "bench", eventTime = ngx.now() * 1000, extendAttributes = {
        path = var.uri, host = var.host, agent = var.http_user_agent, status = var.status,
        duration = var.request_time, channel = "web" } }
    if not pending and count > 0 then
      pending = true
      ngx.timer.at(count >= BATCH and 0 or LINGER, flush)
    end
  end
end

return M
