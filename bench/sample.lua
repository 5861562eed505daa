--- sample.lua
-- The events of the benchmarks, and the yardstick: what a user without quickaudience would write.
-- Does not know what is measured.
-- SPDX-License-Identifier: MIT
local cjson = require "cjson"

local M = { ORGANIZATION_ID = "4801234567" }

--- A list of orders, all different, each about 360 bytes on the wire.
---@param count integer
---@return table[]
function M.orders(count)
  local cities = { "上海", "北京", "杭州", "深圳" }
  local events = {}
  for i = 1, count do
    events[i] = {
      customer_id = ("u-%06d"):format(i),
      event_code = "pay_order",
      event_time = 1708235644862 + i,
      organization_id = M.ORGANIZATION_ID,
      attributes = {
        sku = ("A-100-%04d"):format(i),
        amount = 12.5 + i,
        quantity = i % 9 + 1,
        vip = i % 2 == 0,
        channel = "mini_program",
        city = cities[i % 4 + 1],
        coupon = "SPRING-2024", page = "/orders/confirm",
      },
      customer_ids = { MOBILE = ("139%08d"):format(i) },
      is_order = true,
    }
  end
  return events
end

--- A list of page views as a request hook sees them: fewer, longer values. About 370 bytes each.
---@param count integer
---@return table[]
function M.views(count)
  local events = {}
  for i = 1, count do
    events[i] = {
      customer_id = ("u-%06d"):format(i),
      event_code = "page_view",
      event_time = 1708235644862 + i,
      organization_id = M.ORGANIZATION_ID,
      attributes = {
        url = ("/shop/shoes/A-100-%04d?from=search"):format(i),
        user_agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_3 like Mac OS X) AppleWebKit/605.1.15"
          .. " (KHTML, like Gecko) Mobile/15E148",
        referer = "https://www.example.com/search",
        status = 200,
        duration_ms = i % 40 + 0.25,
      },
    }
  end
  return events
end

--- A list of the smallest useful events, each about 100 bytes on the wire.
---@param count integer
---@return table[]
function M.clicks(count)
  local events = {}
  for i = 1, count do
    events[i] = {
      customer_id = ("u-%d"):format(i),
      event_code = "click",
      event_time = 1708235644862 + i,
      organization_id = M.ORGANIZATION_ID,
    }
  end
  return events
end

--- The wire table of an event, as the service's documents describe it, without checking anything.
---@param event table
---@return table
function M.wire(event)
  local attributes = {}
  for key, value in pairs(event.attributes) do
    attributes[key] = type(value) == "string" and value or tostring(value)
  end
  local ids = {}
  for kind, id in pairs(event.customer_ids or {}) do
    ids[#ids + 1] = { customerId = id, idMapping = kind }
  end
  return {
    organizationId = event.organization_id,
    customerId = event.customer_id,
    eventCode = event.event_code,
    eventTime = event.event_time,
    extendAttributes = attributes,
    customerIdList = ids,
    isOrder = event.is_order and "1" or "0",
  }
end

local function same(left, right)
  if type(left) ~= "table" or type(right) ~= "table" then
    return left == right
  end
  for key, value in pairs(left) do
    if not same(value, right[key]) then
      return false
    end
  end
  for key in pairs(right) do
    if left[key] == nil then
      return false
    end
  end
  return true
end

--- Fails unless both ways give the same JSON content in the same number of bytes.
---@param encode fun(event: table): string
---@param events table[]
---@return number bytes the mean size of an event on the wire
function M.verify(encode, events)
  local bytes = 0
  for _, event in ipairs(events) do
    local ours, yardstick = assert(encode(event)), cjson.encode(M.wire(event))
    yardstick = yardstick:gsub("\\/", "/") -- lua-cjson escapes slashes, which JSON leaves free
    assert(#ours == #yardstick, "the yardstick writes another number of bytes")
    assert(same(cjson.decode(ours), cjson.decode(yardstick)), "the yardstick writes other content")
    bytes = bytes + #ours
  end
  return bytes / #events
end

return M
