-- shop.lua
-- What this shop reports: a page view for each page, an order for each order.
-- Does not know how events are delivered.
-- SPDX-License-Identifier: MIT
local quickaudience = require "quickaudience.nginx"

local M = {}

local function environment(name, default)
  local value = os.getenv("QUICKAUDIENCE_" .. name)
  return value ~= "" and value or default
end

--- For init_by_lua_block. The defaults are the local sandbox's.
function M.setup()
  quickaudience.setup {
    endpoint = environment("ENDPOINT", "http://127.0.0.1:9090"),
    app_id = environment("APP_ID", "demo-app"),
    access_key = environment("ACCESS_KEY", "demo-access-key"),
    access_secret = environment("ACCESS_SECRET", "demo-access-secret"),
    organization_id = environment("ORGANIZATION_ID", "demo-organization"),
    attributes = { channel = "web" },
    -- Here accepted events survive whatever ends nginx. It must be the workers' user's: README.md.
    spool = environment("SPOOL", ngx.config.prefix() .. "spool"),
  }

  -- Compiled once, here; called for every request.
  M.page_view = quickaudience.hook {
    event_code = "page_view",
    -- Whoever is logged in, else the visitor's cookie; without either there is no event.
    customer_id = { { header = "X-User" }, "$cookie_uid" },
    filter = function()
      return ngx.status == 200 and ngx.header["Content-Type"] == "text/html"
    end,
    attributes = {
      path = "$uri",
      referer = "$http_referer",
      user_agent = "$http_user_agent",
      duration = "$request_time",
    },
  }
end

--- Takes an order, and reports it from where it is known best.
function M.order()
  local arguments = ngx.req.get_uri_args()
  local id = ngx.var.request_id
  local ok, message = quickaudience.report {
    customer_id = ngx.var.cookie_uid or "",
    event_code = "pay_order",
    is_order = true,
    attributes = {
      order_id = id,
      amount = tonumber(arguments.amount),
      products = { { id = arguments.sku, quantity = tonumber(arguments.quantity) } },
    },
  }
  -- The order stands whatever became of its event: reporting must not fail the sale.
  if not ok then ngx.log(ngx.WARN, "order ", id, " is not reported: ", message) end
  ngx.status = 201
  ngx.print('{"order":"', id, '"}\n')
end

--- Yields until the service has answered; other requests go on.
function M.check()
  local client, message = quickaudience.client()
  local answer
  if client then answer, message = client:check() end
  ngx.status = answer and 200 or 502
  ngx.header["Content-Type"] = "text/plain"
  ngx.print(answer and "the service accepts this configuration\n" or message .. "\n")
end

return M
