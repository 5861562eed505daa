-- page_spec.lua
-- Looks at the sandbox's page in a real Chromium: what it shows, hides, says and survives.
-- Does not know the page's code; it sees the document and presses keys.
-- SPDX-License-Identifier: MIT

-- The page runs in nginx and in a browser: which Lua runs the spec makes no difference.
if _VERSION ~= "Lua 5.4" or os.getenv("LD_PRELOAD") then return end

local cjson = require "cjson"
local quickaudience = require "quickaudience"
local sandboxes = require "spec.support.sandbox"
local browsers = require "spec.support.browser"

local PATH = "/openapi/cloud/event/detail/receive"

local sandbox, browser

local function form(list)
  return '--b\r\nContent-Disposition: form-data; name="accessId"\r\n\r\ndemo-organization\r\n'
    .. '--b\r\nContent-Disposition: form-data; name="eventMessageModelListJson"\r\n\r\n' .. list
    .. "\r\n--b--\r\n"
end

-- A signed call with these JSON texts of events; `secret` when it shall be a wrong one.
local function post(events, secret)
  local c, now = sandbox.credentials, os.time() * 1000
  local signature = quickaudience.sign { app_id = c.app_id, access_key = c.access_key,
    access_secret = secret or c.access_secret, timestamp = now }
  return sandbox:request("POST", string.format("%s?appId=%s&timestamp=%d&accessKey=%s", PATH,
    c.app_id, now, c.access_key), form("[" .. table.concat(events, ",") .. "]"),
    { ["content-type"] = "multipart/form-data; boundary=b", authorization = signature,
      ["user-agent"] = "a-game/1" })
end

local function event(customer, code, more)
  return string.format('{"organizationId":"demo-organization","customerId":%s,"eventCode":%s,'
    .. '"eventTime":1708235644862%s}', cjson.encode(customer), cjson.encode(code), more or "")
end

local function many(first, count)
  local list = {}
  for i = 1, count do list[i] = event("u-" .. first + i, i % 2 == 0 and "view" or "pay") end
  return list
end

local function shows(expression, seconds)
  return assert.truthy(browser:wait(expression, seconds), expression)
end

local function text(id)
  return browser:js("return document.getElementById(arguments[0]).textContent", id)
end

local ROWS = "[...document.querySelectorAll('.row')]"

local function filter(id, value)
  browser:js("const e = document.getElementById(arguments[0]); e.value = arguments[1];"
    .. "e.dispatchEvent(new Event('input', { bubbles: true }))", id, value)
end

local function click(selector)
  browser:js("document.querySelector(arguments[0]).click()", selector)
end

describe("the sandbox's page", function()
  setup(function()
    sandbox = sandboxes.start()
    browser = browsers.start()
  end)
  teardown(function()
    if browser then browser:stop() end
    sandbox:stop()
  end)
  before_each(function()
    sandbox:reset()
    browser:go(sandbox.url .. "/")
    shows "document.getElementById('state').textContent === 'live'"
  end)
  -- A breach of the content policy would be told here.
  after_each(function()
    for _, line in ipairs(browser:console()) do
      assert.truthy(line:find("sandbox/page/news", 1, true)
        or line:find("sandbox/faults", 1, true), line)
    end
  end)

  it("is for browsers; others get the list of paths", function()
    local _, body = sandbox:request("GET", "/")
    assert.truthy(body:find("GET    /sandbox/all", 1, true))
    local status, page, headers = sandbox:request("GET", "/", nil, { accept = "text/html,*/*" })
    assert.equal(200, status)
    assert.truthy(page:find("<!DOCTYPE html>", 1, true))
    local policy = headers["content-security-policy"]
    assert.truthy(policy:find("default-src 'none'", 1, true))
    local nonce = policy:match("script%-src 'nonce%-(%x+)'")
    assert.truthy(page:find('<script nonce="' .. nonce .. '">', 1, true))
    local _, _, again = sandbox:request("GET", "/", nil, { accept = "text/html" })
    assert.not_equal(policy, again["content-security-policy"])
    for host in page:gmatch("https?://([%w.]+)") do
      assert.equal("www.w3.org", host) -- SVG's name, which nobody asks
    end
  end)

  it("says where to send events while nothing has arrived", function()
    assert.equal(sandbox.url, text("endpoint"))
    assert.is_false(browser:js("return document.getElementById('empty').hidden"))
  end)

  it("shows what arrives, the newest first, and counts it", function()
    post { event("u-1", "view"), event("u-2", "pay") }
    shows(ROWS .. ".length === 2")
    assert.equal("u-2", browser:js("return " .. ROWS .. "[0].querySelector('.who').textContent"))
    post { event("u-1", "view") }
    post { event("u-3", "view", ',"isOrder":true') }
    shows "document.getElementById('valid').textContent === '3'"
    assert.equal("1", text("refused"))
    assert.equal("1", text("duplicates"))
    shows "document.querySelectorAll('#chart .valid').length >= 1"
    assert.truthy(browser:js("return document.querySelectorAll('#chart .refused').length > 0"))
  end)

  it("opens an event by keys: as sent, its errors with paths, its request", function()
    local sent = event("u-9", "pay", ',"isOrder":"1","extendAttributes":{"b":"x", "price": 1.50 }')
    post { event("u-8", "view"), sent }
    shows(ROWS .. ".length === 1")
    browser:js("document.getElementById('list').focus()")
    browser:keys("ArrowDown", "Enter")
    shows "document.querySelector('#body li')"
    assert.equal("[1].extendAttributes.price must be a string, is a number WRONG_TYPE",
      browser:js("return document.querySelector('#body li').textContent"))
    assert.equal('    "price": 1.50',
      browser:js("return document.querySelector('#body .line.bad').textContent"))
    assert.truthy(text("body"):find("user-agenta-game/1", 1, true))
    assert.truthy(text("body"):find("POST " .. PATH, 1, true))
    assert.is_nil(text("body"):find("authorization", 1, true))
    click "#layout"
    assert.equal(sent, browser:js("return document.querySelector('#body pre').textContent"))
    click "#layout"
    browser:keys("Escape")
    assert.is_true(browser:js("return document.getElementById('detail').hidden"))
    assert.equal("list", browser:js("return document.activeElement.id"))
  end)

  it("shows calls that were refused as a whole", function()
    post({ event("u-1", "view") }, "wrong")
    shows(ROWS .. ".length === 1")
    assert.equal("SIGNATURE_MISMATCH",
      browser:js("return document.querySelector('.row .code').textContent"))
    click ".row"
    shows "document.querySelector('#body li')"
    assert.truthy(text("body"):find("header.Authorization", 1, true))
  end)

  it("filters by event code, customer id and validity, among all that is kept", function()
    for i = 0, 11 do post(many(i * 200, 200)) end
    post { event("u-7", "pay", ',"isOrder":1') }
    shows "document.getElementById('valid').textContent === '2,400'"
    browser:keys("/")
    assert.equal("code", browser:js("return document.activeElement.id"))
    browser:keys("PAY")
    filter("customer", "u-7")
    shows(ROWS .. ".length && " .. ROWS .. ".every(r => /^u-7/.test(r.querySelector('.who')"
      .. ".textContent) && r.querySelector('.code').textContent === 'pay')")
    filter("validity", "false")
    shows(ROWS .. ".length === 1 && " .. ROWS .. "[0].className === 'row bad'")
    filter("customer", "nobody")
    shows "!document.getElementById('none').hidden"
  end)

  it("shows what is meant to do harm as text", function()
    local evil = "<img src=x onerror=\"document.title='harm'\"></script><script>alert(1)</script>"
    post { event(evil, evil, ',"extendAttributes":{' .. cjson.encode(evil) .. ':7}') }
    shows(ROWS .. ".length === 1")
    click ".row"
    shows "document.querySelector('#body li')"
    assert.equal(evil, browser:js("return document.querySelector('.row .code').textContent"))
    assert.same({ "Quick Audience sandbox", 0, 1 }, browser:js [[return [document.title,
      document.querySelectorAll('img').length, document.querySelectorAll('script').length] ]])
  end)

  it("stays quick and small while a thousand events come each second", function()
    browser:js [[window.worst = 0; let before = performance.now();
      const tick = () => { const now = performance.now();
        window.worst = Math.max(window.worst, now - before); before = now;
        setTimeout(tick, 0); }; tick();]]
    for i = 1, 30 do
      post(many(i * 100, 100))
      browser:wait("false", 0.06)
    end
    shows "document.getElementById('valid').textContent === '3,000'"
    assert.truthy(browser:js("return " .. ROWS .. ".length") < 60)
    assert.truthy(browser:js("return window.worst") < 250)
    assert.truthy(browser:js("return parseFloat(document.getElementById('rows').style.height)")
      <= 2000 * 26)
    browser:js("document.getElementById('list').focus()")
    browser:keys("ArrowDown", "ArrowDown")
    local chosen = "document.querySelector('[aria-selected=true]')"
    local kept = browser:js("return " .. chosen .. ".textContent")
    post(many(9000, 100))
    shows "document.getElementById('valid').textContent === '3,100'"
    assert.equal(kept, browser:js("return " .. chosen .. ".textContent"))
  end)

  it("sets faults and resets", function()
    click "[data-fault='503']"
    shows "document.getElementById('waiting').textContent === '1 fault waits'"
    assert.equal(503, (post { event("u-1", "view") }))
    shows "document.getElementById('waiting').textContent === ''"
    shows(ROWS .. ".length === 1")
    post { event("u-1", "view") }
    shows "document.getElementById('valid').textContent === '1'"
    click "#reset"
    shows "document.getElementById('valid').textContent === '0'"
    shows(ROWS .. ".length === 0")
    assert.equal(0, sandbox:all().requests)
  end)

  it("pauses the list, not the counts", function()
    browser:keys("p")
    post { event("u-1", "view") }
    shows "document.getElementById('valid').textContent === '1'"
    assert.equal(0, browser:js("return " .. ROWS .. ".length"))
    browser:keys("p")
    shows(ROWS .. ".length === 1")
  end)

  it("names every control", function()
    assert.same({ "ok" }, browser:js [[
      const nameless = [...document.querySelectorAll('button, input, select, [role]')].filter(e =>
        !(e.textContent.trim() || e.getAttribute('aria-label') || e.closest('label') ||
          e.hidden || /presentation|status|alert|search/.test(e.getAttribute('role'))));
      return nameless.length ? nameless.map(e => e.outerHTML) : ['ok'];]])
  end)

  it("says that the connection is lost, and comes back with what is there then", function()
    post { event("u-1", "view") }
    shows(ROWS .. ".length === 1")
    local port = sandbox.port
    sandbox:stop()
    shows("document.getElementById('lost').checkVisibility()", 5)
    assert.truthy(text("lost"):find("connection to the sandbox is lost", 1, true))
    assert.equal("not connected", text("state"))
    sandbox = sandboxes.start { args = { "--port", tostring(port) } }
    shows("document.getElementById('state').textContent === 'live'", 5)
    shows(ROWS .. ".length === 0")
    post { event("u-2", "view") }
    shows(ROWS .. ".length === 1")
  end)
end)

describe("the sandbox's page for who prefers the dark", function()
  it("is dark", function()
    local box = sandboxes.start()
    local dark = browsers.start { dark = true }
    dark:go(box.url .. "/")
    local colours = dark:js [[const style = getComputedStyle(document.body);
      return [style.backgroundColor, style.color].map(c => c.match(/\d+/g)
        .reduce((sum, n) => sum + Number(n), 0))]]
    dark:stop()
    box:stop()
    assert.truthy(colours[1] < 150 and colours[2] > 600, table.concat(colours, " "))
  end)
end)
