-- script.lua
-- The shortest useful program: reports some events, closes, and tells what became of them.
-- Does not know which service it talks to; the environment says, by default the local sandbox.
-- SPDX-License-Identifier: MIT
--
--   quickaudience sandbox        in another terminal
--   lua examples/script.lua

local quickaudience = require "quickaudience"

local function environment(name, default)
  local value = os.getenv("QUICKAUDIENCE_" .. name)
  return value ~= "" and value or default
end

local client = assert(quickaudience.new {
  endpoint = environment("ENDPOINT", "http://127.0.0.1:9090"),
  app_id = environment("APP_ID", "demo-app"),
  access_key = environment("ACCESS_KEY", "demo-access-key"),
  access_secret = environment("ACCESS_SECRET", "demo-access-secret"),
  organization_id = environment("ORGANIZATION_ID", "demo-organization"),
  attributes = { channel = "script" }, -- every event gets these
})

-- Optional: says at once, in words, if the endpoint or the credentials are wrong.
assert(client:check())

-- Accepted here means: from now on it is delivered, or accounted for.
assert(client:report {
  customer_id = "u-42",
  event_code = "pay_order",
  is_order = true,
  attributes = { amount = 25, vip = true, products = { { id = "A-100", quantity = 2 } } },
  customer_ids = { MOBILE = "139****0000" },
})

-- Many at once: all or nothing.
local batch = client:batch()
for page = 1, 3 do
  assert(batch:add {
    customer_id = "u-" .. page,
    event_code = "page_view",
    attributes = { path = "/products/" .. page },
  })
end
assert(batch:report())

-- An event that cannot be right is refused here, with the path of the culprit.
local ok, message, code = client:report { customer_id = "u-42", event_code = "page_view",
  attributes = { price = 0 / 0 } }
assert(not ok)
print(code, message)

-- Waits until everything has ended: delivered, or set aside with a reason.
assert(client:flush(10))
for _, letter in ipairs(client:dead()) do
  print("refused by the service:", letter.message)
end

-- Delivers what is left, had there been no flush. Without it the collector does, for two seconds.
assert(client:close())

local stats = client:stats()
print(string.format("accepted %d = delivered %d + dead %d + dropped %d", stats.accepted,
  stats.delivered, stats.dead, stats.dropped.deadline + stats.dropped.closed))
