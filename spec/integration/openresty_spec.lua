--- openresty_spec.lua
-- Runs the example site as it stands, visits it, and looks at what has arrived and what it shows.
-- Does not know the library; it sees what a reader who copies the site would see.
-- SPDX-License-Identifier: MIT

-- nginx runs LuaJIT whichever Lua runs the spec: once is enough, and that is the fitting one.
if not rawget(_G, "jit") then return end

local nginx = require "spec.support.nginx"

describe("the example site", function()
  local sandbox, site

  setup(function() sandbox = require("spec.support.sandbox").start() end)
  teardown(function() sandbox:stop() end)
  before_each(function()
    sandbox:reset()
    site = nginx.start_example("examples/openresty", { ENDPOINT = sandbox.url })
  end)
  after_each(function()
    if site then site:stop() end
    site = nil
  end)

  it("reports pages and orders, shows its figures, and ends complete", function()
    local visitor = { Cookie = "uid=u-42", ["User-Agent"] = "spec" }
    assert.equal(200, (site:get("/", visitor)))
    assert.equal(200, (site:get("/products/A-100", { ["X-User"] = "u-7" })))
    assert.equal(200, (site:get("/products/A-100"))) -- nobody
    assert.equal(200, (site:get("/pictures/A-100.png", visitor)))
    assert.equal(404, (site:get("/old", visitor)))
    assert.equal(201, (site:get("/orders?sku=A-100&quantity=2&amount=12.5", visitor)))
    assert.equal(201, (site:get("/orders?sku=A-100&quantity=2&amount=1e999", visitor)))
    local status, text = site:get("/check")
    assert.equal("the service accepts this configuration\n", text)
    assert.equal(200, status)
    sandbox:wait { events = 3 }
    local seen = {}
    for _, item in ipairs(sandbox:events()) do
      assert.same({}, item.errors or {})
      local event = item.event
      seen[event.eventCode .. " of " .. event.customerId] = event.extendAttributes
    end
    local page = seen["page_view of u-42"]
    assert.truthy(tonumber(page.duration))
    page.duration = nil
    assert.same({ path = "/", user_agent = "spec", channel = "web" }, page)
    assert.equal("/products/A-100", seen["page_view of u-7"].path)
    assert.equal("12.5", seen["pay_order of u-42"].amount)
    assert.truthy(site:wait_log("is not reported: event.attributes.amount: not a finite number"))
    assert.truthy(nginx.wait_for(5, function()
      local _, shown = site:get("/metrics")
      return shown:find('quickaudience_events_delivered_total{client="default"} 3', 1, true)
        and shown:find('requests_skipped_total{client="default",reason="no_customer"} 1', 1, true)
        and shown:find('requests_skipped_total{client="default",reason="filtered"} 4', 1, true)
        and shown:find('events_refused_total{client="default",code="INVALID_EVENT"} 1', 1, true)
    end))
    assert.truthy(site:finish("QUIT"))
    assert.same({}, site:deaths())
  end)

  it("delivers without another visit what its workers had accepted that were killed", function()
    sandbox:faults { { status = 503, times = "forever" } }
    for i = 1, 20 do assert.equal(200, (site:get("/", { Cookie = "uid=u-" .. i }))) end
    assert.truthy(nginx.wait_for(5, function()
      local _, shown = site:get("/metrics")
      return shown:find('pending{client="default",place="spooled"} 20', 1, true)
    end))
    for _, id in ipairs(site:workers()) do site:signal("KILL", id) end
    sandbox:clear_faults()
    assert.equal(20, sandbox:wait({ distinct = 20, timeout = 15 }).events.distinct)
  end)
end)
