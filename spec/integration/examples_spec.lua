-- examples_spec.lua
-- Runs the examples, and the README's first event, against the sandbox as they stand.
-- Does not know the library; it sees what a reader who copies them would see.
-- SPDX-License-Identifier: MIT
local nginx = require "spec.support.nginx"
local sandboxes = require "support.sandbox"
local shell = require "support.shell"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

-- The first block of Lua in a text of Markdown.
local function first_block(path)
  return assert(read(path):match("```lua\n(.-)```"), path .. " shows no Lua")
end

describe("the examples", function()
  local sandbox

  setup(function() sandbox = sandboxes.start() end)
  teardown(function() sandbox:stop() end)
  before_each(function() sandbox:reset() end)

  local function run(words, settings)
    return shell.run(string.format("QUICKAUDIENCE_ENDPOINT=%s %s %s %s", sandbox.url,
      settings or "", sandboxes.lua(), words))
  end

  local function arrived()
    local codes = {}
    for _, item in ipairs(sandbox:events { valid = true }) do
      codes[item.event.eventCode] = (codes[item.event.eventCode] or 0) + 1
    end
    return codes
  end

  it("script.lua reports, is refused once, and adds up", function()
    local output, status = run("examples/script.lua")
    assert.equal("INVALID_EVENT\tevent.attributes.price: not a finite number\n"
      .. "accepted 4 = delivered 4 + dead 0 + dropped 0\n", output)
    assert.equal(0, status)
    assert.same({ pay_order = 1, page_view = 3 }, arrived())
  end)

  it("script.lua shows what the service refused", function()
    sandbox:faults { reject_customer_ids = { "u-2" } }
    local output, status = run("examples/script.lua")
    assert.equal(0, status, output)
    local _, letters = output:gsub("refused by the service:\tservice answered 200 without success: "
      .. "CUSTOMER_REJECTED", "")
    assert.equal(1, letters, output)
    assert.truthy(output:find("accepted 4 = delivered 3 + dead 1 + dropped 0", 1, true), output)
  end)

  it("script.lua says that the credentials are wrong, and not what they are", function()
    local output, status = run("examples/script.lua", "QUICKAUDIENCE_ACCESS_SECRET=not-the-secret")
    assert.equal(1, status)
    assert.truthy(output:find("service answered 401: SIGNATURE_MISMATCH", 1, true), output)
    assert.falsy(output:find("not-the-secret", 1, true))
  end)

  it("loop.lua gets every delivery report", function()
    local output, status = run("examples/loop.lua 4")
    assert.equal("4 rounds: 100 delivered, 0 dead, 0 dropped, 0 refused at the call\n", output)
    assert.equal(0, status)
    assert.same({ shot_fired = 100 }, arrived())
  end)

  it("loop.lua plays on without the service, and says what was not delivered", function()
    local output, status = run("examples/loop.lua 2", "QUICKAUDIENCE_ENDPOINT=http://127.0.0.1:1")
    assert.equal(1, status)
    assert.truthy(output:find("50 dropped (CLOSED): ", 1, true), output)
    assert.truthy(output:find("connection refused", 1, true), output)
    assert.truthy(output:find("2 rounds: 0 delivered, 0 dead, 50 dropped", 1, true), output)
  end)

  it("loop.lua says how it is called", function()
    local output, status = run("examples/loop.lua many")
    assert.equal("usage: lua examples/loop.lua [ROUNDS]\n", output)
    assert.equal(2, status)
  end)

  it("access_log.lua reads standard input, and tells lines apart", function()
    local lines = {
      [[{"time":"1708235644.862","customer":"u-1","method":"GET","path":"/a","status":200,]]
        .. [["duration":0.012,"type":"text/html; charset=utf-8","referer":"-","user_agent":""}]],
      [[{"time":"1708235645.000","customer":"u-1","method":"GET","path":"/a","status":304,]]
        .. [["duration":0.001,"type":"","referer":"","user_agent":""}]],
      [[{"time":"yesterday","customer":"u-1","method":"GET","path":"/a","status":200,]]
        .. [["duration":0.001,"type":"text/html"}]],
      [[127.0.0.1 - - [18/Feb/2024:05:54:04 +0000] "GET / HTTP/1.1" 200 5]],
      "[]", "null", "",
    }
    local output, status = shell.run(string.format("printf '%%s\\n' %s | (%s)",
      "'" .. table.concat(lines, "' '") .. "'",
      "QUICKAUDIENCE_ENDPOINT=" .. sandbox.url .. " " .. sandboxes.lua()
        .. " examples/access_log/access_log.lua"))
    assert.equal(0, status, output)
    assert.truthy(output:find("1 refused: event.event_time: ", 1, true), output)
    assert.truthy(output:find("7 lines: 1 page views, 0 orders; 2 skipped, 1 refused, "
      .. "3 unreadable\n1 delivered, 0 dead, 0 dropped\n", 1, true), output)
    local events = sandbox:events { valid = true }
    assert.equal(1, #events)
    assert.equal(1708235644862, events[1].event.eventTime)
    assert.same({ channel = "web", duration = "0.012", path = "/a" },
      events[1].event.extendAttributes)
  end)

  it("access_log: a site's log becomes events, with what is refused where and why", function()
    sandbox:faults { faults = { { status = 503, times = 2 } }, reject_customer_ids = { "u-3" } }
    local site = nginx.start_example("examples/access_log", {}, true)
    local function visit(customer, path, method)
      shell.check(string.format("curl -q -sS --noproxy '*' -o /dev/null -X %s %s '%s%s'",
        method or "GET", customer and "-b uid=" .. customer or "", site.url, path))
    end
    for i = 1, 5 do
      visit("u-" .. i, "/")
      visit("u-" .. i, "/pictures/A-100.png")
    end
    visit("u-1", "/orders?sku=A-100&quantity=2&amount=12.5", "POST")
    visit("u-1", "/orders?sku=A-100&quantity=1&amount=1e999", "POST")
    visit(nil, "/")
    visit("u-1", "/old-shop")
    assert.truthy(site:finish("QUIT"))
    -- What is left of a line when a disk runs full.
    site:write("access.log", site:file("access.log") .. '{"time":"1708235644.862","customer":"u')
    local output, status = run("examples/access_log/access_log.lua " .. site.dir .. "/access.log")
    site:stop()
    assert.equal(0, status, output)
    for _, expected in ipairs {
      "15 lines: 5 page views, 1 orders; 6 skipped, 2 refused, 1 unreadable\n",
      "5 delivered, 1 dead, 0 dropped\n",
      "1 refused: event.customer_id: empty\n",
      "1 refused: event.attributes.amount: not a finite number\n",
      "1 dead: service answered 200 without success: CUSTOMER_REJECTED: ",
    } do
      assert.truthy(output:find(expected, 1, true), expected .. " is not in\n" .. output)
    end
    output, status = run("examples/arrived.lua " .. sandbox.url .. " 5 1")
    assert.equal(0, status, output)
    assert.truthy(output:find("5 events arrived: 4 page_view, 1 pay_order; 0 came twice\n", 1,
      true), output)
    assert.truthy(output:find("1 page_view of u-3: CUSTOMER_REJECTED: ", 1, true), output)
    assert.equal(1, select(2, run("examples/arrived.lua " .. sandbox.url .. " 6 0")))
  end)

  it("access_log.lua reports what it read before a log that is not there", function()
    local output, status = run("examples/access_log/access_log.lua /nowhere/access.log")
    assert.equal(1, status)
    assert.truthy(output:find("0 lines: ", 1, true), output)
    assert.truthy(output:find("access_log: .*/nowhere/access%.log: No such file"), output)
  end)

  it("the README's first event is five lines, and arrives", function()
    local block = first_block("README.md")
    local _, lines = block:gsub("\n", "\n")
    assert.equal(5, lines)
    local here, count = block:gsub("http://127%.0%.0%.1:9090", sandbox.url)
    assert.equal(1, count)
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(here)
    file:close()
    local output, status = run(path)
    os.remove(path)
    assert.equal("", output)
    assert.equal(0, status)
    local events = sandbox:events()
    assert.equal(1, #events)
    assert.equal("pay_order", events[1].event.eventCode)
  end)
end)
