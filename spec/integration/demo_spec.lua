-- demo_spec.lua
-- Runs the demo, ends it early, and takes things away from it: it must tell, and leave nothing.
-- Does not know how the demo is made; it sees output, processes and files.
-- SPDX-License-Identifier: MIT
local nginx = require "spec.support.nginx"
local sandbox = require "support.sandbox"
local shell = require "support.shell"

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read("*a") or ""
  if file then file:close() end
  return text
end

-- The processes that name the folder in their command line, or were given it as TMPDIR.
local function processes_of(folder)
  local found = {}
  for _, pid in ipairs(shell.lines("ls /proc | grep '^[0-9]'")) do
    local command = read("/proc/" .. pid .. "/cmdline")
    local environment = read("/proc/" .. pid .. "/environ")
    if command:find(folder, 1, true) or environment:find("TMPDIR=" .. folder, 1, true) then
      found[#found + 1] = pid .. " " .. command:gsub("%z", " ")
    end
  end
  return found
end

describe("the demo", function()
  local folder

  setup(function() nginx.build() end)
  -- If root runs it, nginx's workers are another user, who has to pass.
  before_each(function()
    folder = shell.folder()
    shell.check("chmod 711 " .. folder)
  end)
  after_each(function() shell.check("rm -rf " .. folder) end)

  local function demo(before)
    return string.format("%sTMPDIR=%s LUA=%s examples/demo", before or "", folder, sandbox.lua())
  end

  -- The sandbox's helpers may be in a last nap of a tenth of a second, with nothing left to do.
  local function assert_nothing_left()
    for _ = 1, 200 do
      if #processes_of(folder) == 0 then break end
    end
    assert.same({}, processes_of(folder))
    assert.equal("", shell.check("ls -A " .. folder))
  end

  it("shows visits becoming events, and what was refused where and why", function()
    local output, status = shell.run(demo("QUICKAUDIENCE_ACCESS_SECRET=another "
      .. "QUICKAUDIENCE_LINGER=1 http_proxy=http://127.0.0.1:1 "))
    assert.equal(0, status, output)
    for _, expected in ipairs {
      "1  Started a sandbox, a local Quick Audience: http://127%.0%.0%.1:%d+\n",
      "2  Started a site, a small shop in nginx with two workers: http://127%.0%.0%.1:%d+\n",
      "3  Sent it 204 requests over HTTP",
      " order %x+ is not reported: event%.attributes%.amount: not a finite number\n",
      "4  Read its metrics page, the figures of both workers: http://127%.0%.0%.1:%d+/metrics\n",
      ' quickaudience_events_accepted_total{client="default"} 150\n',
      ' quickaudience_events_delivered_total{client="default"} 147\n',
      ' quickaudience_events_dead_total{client="default"} 3\n',
      ' quickaudience_requests_total{client="default",outcome="HTTP"} 2\n',
      ' quickaudience_spool_state{client="default",state="ok"} %d\n',
      ' quickaudience_events_refused_total{client="default",code="INVALID_EVENT"} 1\n',
      ' quickaudience_requests_skipped_total{client="default",reason="filtered"} 62\n',
      ' quickaudience_requests_skipped_total{client="default",reason="no_customer"} 2\n',
      "147 events arrived: 137 page_view, 10 pay_order; 0 came twice\n",
      'the last order: {.*"products":"%[{\\"',
      "3 were refused\n",
      "3 page_view of u%-13: CUSTOMER_REJECTED: %[0%]%.customerId: ",
      "2 times 503",
      "6  Stopped the site; what was refused stays in its spool",
      "0 pending events, 3 dead letters\n",
      "7  All of it was to be expected[^\n]*\n$",
    } do
      assert.truthy(output:find(expected), expected .. " is not in\n" .. output)
    end
    assert_nothing_left()
  end)

  -- As a terminal does it: to the whole group of processes. A shell cannot trap what is ignored
  -- when it starts, and who runs the specs may ignore signals.
  local function interrupt(signal, step)
    local pipe = assert(io.popen("sh -c 'echo $$; exec env --default-signal setsid env " .. demo()
      .. "' 2>&1; echo status $?"))
    local pid = pipe:read("*l")
    for line in pipe:lines() do
      if line:find("^" .. step) then break end
    end
    shell.check("kill -" .. signal .. " -" .. pid)
    local rest = pipe:read("*a")
    pipe:close()
    return tonumber(rest:match("status (%d+)\n$")), rest
  end

  for _, case in ipairs { { "INT", 130, 1 }, { "INT", 130, 2 }, { "INT", 130, 3 },
    { "INT", 130, 4 }, { "TERM", 143, 2 }, { "HUP", 129, 3 } } do
    local signal, expected, step = case[1], case[2], case[3]
    it(string.format("leaves nothing when SIG%s ends it at step %d", signal, step), function()
      local status, output = interrupt(signal, step)
      assert.equal(expected, status, output)
      assert_nothing_left()
    end)
  end

  it("says what nginx's workers cannot enter, if root runs it", function()
    if shell.check("id -u") ~= "0\n" then return pending("only root's are another user") end
    shell.check("chmod 700 " .. folder)
    local output, status = shell.run(demo())
    assert.equal(1, status)
    assert.truthy(output:find("cannot enter " .. folder .. "; set TMPDIR", 1, true), output)
    assert_nothing_left()
  end)

  it("leaves nothing when nobody reads on", function()
    shell.run(demo() .. " | head -n 1")
    assert_nothing_left()
  end)

  it("says which step failed, and leaves nothing", function()
    local bin = folder .. "/bin"
    shell.check("mkdir " .. bin .. " && ln -s $(command -v curl) " .. bin .. "/real-curl")
    local file = assert(io.open(bin .. "/curl", "w"))
    file:write("#!/bin/sh\ncase \"$*\" in *--fail-early*) exit 7 ;; esac\nexec real-curl \"$@\"\n")
    file:close()
    shell.check("chmod +x " .. bin .. "/curl")
    local output, status = shell.run(demo("PATH=" .. bin .. ":$PATH "))
    assert.equal(1, status, output)
    assert.truthy(output:find("\ndemo: the site did not answer\n", 1, true), output)
    shell.check("rm -r " .. bin)
    assert_nothing_left()
  end)

  it("says what to do when the module is not built", function()
    local output, status = shell.run("env -u LUA_PATH -u LUA_CPATH " .. demo("LUA_INIT= "))
    if status == 0 then return pending("the module is installed on this machine") end
    assert.equal("demo: the module is not built; run 'make demo'\n", output)
    assert.equal(1, status)
    assert_nothing_left()
  end)
end)
