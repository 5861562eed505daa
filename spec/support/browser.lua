-- browser.lua
-- Drives a Chromium without a window, through chromedriver's WebDriver protocol.
-- Does not know which page is looked at.
-- SPDX-License-Identifier: MIT
--
--   local browser = require("spec.support.browser").start { dark = true }
--   browser:go(url); browser:js("return document.title"); browser:keys("/"); browser:stop()

local cjson = require "cjson"
local http = require "socket.http"
local ltn12 = require "ltn12"
local sandbox = require "spec.support.sandbox"

local M = {}

-- The shell ends the driver when it reads a line or when the spec is gone, as in sandbox.lua.
local WRAPPER = [[
trap '' INT
unset LD_PRELOAD
export HOME=%s XDG_CONFIG_HOME=%s XDG_CACHE_HOME=%s
chromedriver --port=0 >%s 2>/dev/null </dev/null &
pid=$!
exec 2>/dev/null
read -r line
kill -TERM $pid
wait $pid
rm -rf %s
]]

-- A new profile, and nothing that would talk to anybody but the page.
local ARGUMENTS = { "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
  "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server", "--window-size=1200,760" }

local Browser = {}
local browser_mt = { __index = Browser }

local function call(self, method, path, body)
  local chunks, text = {}, body and cjson.encode(body)
  http.TIMEOUT = 60
  local ok, status = http.request {
    url = self.url .. path, method = method, sink = ltn12.sink.table(chunks),
    source = ltn12.source.string(text or ""),
    headers = { ["content-length"] = tostring(#(text or "")),
      ["content-type"] = "application/json; charset=utf-8" },
  }
  if not ok then error("chromedriver: " .. tostring(status), 3) end
  local answer = cjson.decode(table.concat(chunks)).value
  if status ~= 200 then error("chromedriver: " .. tostring(answer.message), 3) end
  return answer
end

--- Starts a browser.
---@param options table|nil dark: as a user who prefers dark colours
function M.start(options)
  local dir, fifo = sandbox.scratch()
  local quoted = sandbox.quote(dir)
  local pipe = assert(io.popen("sh -c " .. sandbox.quote(WRAPPER:format(quoted, quoted, quoted,
    sandbox.quote(fifo), quoted)), "w"))
  local output = assert(io.open(fifo, "r"))
  local port
  repeat
    local line = output:read("*l")
    port = line and line:match("successfully on port (%d+)")
  until port or not line
  assert(port, "chromedriver did not start")
  local self = setmetatable({ url = "http://127.0.0.1:" .. port, pipe = pipe, output = output },
    browser_mt)
  local arguments = { "--user-data-dir=" .. dir .. "/profile" }
  for _, word in ipairs(ARGUMENTS) do arguments[#arguments + 1] = word end
  if options and options.dark then
    arguments[#arguments + 1] = "--blink-settings=preferredColorScheme=0"
  end
  local session = call(self, "POST", "/session", { capabilities = { alwaysMatch = {
    ["goog:chromeOptions"] = { args = arguments },
    ["goog:loggingPrefs"] = { browser = "ALL" },
  } } })
  self.url = self.url .. "/session/" .. session.sessionId
  return self
end

function Browser:go(url)
  call(self, "POST", "/url", { url = url })
end

--- Runs a script in the page and returns what it returns; arguments are `arguments[0]` and on.
function Browser:js(script, ...)
  local arguments = { ... }
  arguments[#arguments + 1] = true -- an empty table would become an object
  return call(self, "POST", "/execute/sync", { script = script, args = arguments })
end

--- Waits in the page, frame by frame, until an expression is true; nil after `seconds` (10).
function Browser:wait(expression, seconds)
  return call(self, "POST", "/execute/async", { args = { expression, (seconds or 10) * 1000 },
    script = [[
      const [expression, patience, done] = arguments, start = performance.now();
      const test = new Function("return " + expression);
      const look = () => {
        const value = test();
        if (value || performance.now() - start > patience) done(value || null);
        else setTimeout(look, 20);
      };
      look();
    ]] })
end

local NAMES = { Escape = "\238\128\140", Enter = "\238\128\135", ArrowDown = "\238\128\149",
  ArrowUp = "\238\128\147", End = "\238\128\144", Home = "\238\128\145", Tab = "\238\128\132" }

--- Presses keys, one after the other: names of keys, or texts.
function Browser:keys(...)
  local actions = {}
  for _, word in ipairs { ... } do
    for char in (NAMES[word] or word):gmatch("[%z\1-\127\194-\244][\128-\191]*") do
      actions[#actions + 1] = { type = "keyDown", value = char }
      actions[#actions + 1] = { type = "keyUp", value = char }
    end
  end
  call(self, "POST", "/actions", { actions = {
    { type = "key", id = "keyboard", actions = actions } } })
end

--- What the page wrote to its console, errors of the policy included.
function Browser:console()
  local texts = {}
  for i, entry in ipairs(call(self, "POST", "/se/log", { type = "browser" })) do
    texts[i] = entry.message
  end
  return texts
end

--- A picture of the page, as base64.
function Browser:picture()
  return call(self, "GET", "/screenshot")
end

function Browser:stop()
  pcall(call, self, "DELETE", "")
  self.pipe:write("\n")
  self.pipe:close()
  self.output:close()
end

return M
