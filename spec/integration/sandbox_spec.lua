--- sandbox_spec.lua
-- Runs the sandbox as users do: through the command, nginx and curl.
-- Does not know the client.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local digest = require "openssl.digest"
local sandbox = require "spec.support.sandbox"

local quote = sandbox.quote
local PATH = "/openapi/cloud/event/detail/receive"

local function hex_md5(text)
  local bytes = digest.new("md5"):final(text)
  return (bytes:gsub(".", function(char) return string.format("%02x", char:byte()) end))
end

-- A run under the address sanitizer preloads it into every program; some hang with it.
local CLEAN = "unset LD_PRELOAD; "

local function sh(command)
  return os.execute(CLEAN .. command)
end

local function output_of(command)
  local pipe = assert(io.popen(CLEAN .. command .. "; echo \" $?\"", "r"))
  local text, status = pipe:read("*a"):match("^(.*) (%d+)\n$")
  pipe:close()
  return text, tonumber(status)
end

local function whoami()
  return (output_of("id -u"))
end

-- The words of a signed curl call to a sandbox, as the vendor's documents show it.
local function vendor_call(to, list, more)
  local timestamp = string.format("%.0f000", os.time())
  local c = to.credentials
  local signature = hex_md5("accessKey=" .. c.access_key .. "&accessSecret=" .. c.access_secret
    .. "&appId=" .. c.app_id .. "&timestamp=" .. timestamp)
  return table.concat({ "curl -sS", more or "", "--location --request POST",
    quote(to.url .. PATH .. "?appId=" .. c.app_id .. "&timestamp=" .. timestamp .. "&accessKey="
      .. c.access_key),
    "--header", quote("Authorization: " .. signature),
    "--form", quote('eventMessageModelListJson="' .. list:gsub('[\\"]', "\\%0") .. '"'),
    "--form", quote('accessId="demo-organization"'),
  }, " ")
end

local function event(id)
  return string.format('{"organizationId":"demo-organization","customerId":"%s",'
    .. '"eventCode":"view","eventTime":1708235644862}', id)
end

local function post(to, list, more)
  return output_of(vendor_call(to, list, more) .. " 2>&1")
end

-- Starts the command with its process id known, the way a shell does; its output is read through
-- a FIFO whose end says that no process holds it any more. A minute is the longest it may take.
local running = {}

local function start(words, prefix, lua)
  local dir, fifo = sandbox.scratch()
  sh("chmod 755 " .. dir .. "; chmod 666 " .. fifo)
  local script = "echo $$; exec " .. sandbox.command(lua) .. " sandbox " .. words
  sh((prefix or "") .. " sh -c " .. quote(script) .. " >" .. fifo .. " 2>" .. dir
    .. "/log </dev/null &")
  local out = assert(io.popen(CLEAN .. "timeout 60 cat " .. fifo .. "; echo \"cat $?\"", "r"))
  local self = { pid = out:read("*l"), first = out:read("*l") }
  running[self] = true
  self.port = tonumber((self.first or ""):match("(%d+)$"))
  self.url = self.port and "http://127.0.0.1:" .. self.port
  function self.finish()
    running[self] = nil
    local rest = out:read("*a")
    out:close()
    if not rest:find("cat 0\n", 1, true) then sh("kill " .. self.pid) end
    self.log = sandbox.read_file(dir .. "/log")
    sh("rm -rf " .. dir)
    return rest
  end
  return self
end

local function answers(url)
  local _, status = output_of("curl -s -o /dev/null " .. url .. "/sandbox/all")
  return status == 0
end

-- The processes that a process has started: { id, arguments }. From /proc, because a small system
-- has no ps.
local function children_of(pid)
  local list = {}
  for id in sandbox.read_file("/proc/" .. pid .. "/task/" .. pid .. "/children"):gmatch("%d+") do
    list[#list + 1] = { id, (output_of("tr '\\0' ' ' </proc/" .. id .. "/cmdline")) }
  end
  return list
end

-- The shell that supervises nginx for this command, and the directory it works in.
local function supervisor_of(pid)
  local child = children_of(pid)[1]
  return child[1], child[2]:match("(%S+)/supervise%.sh")
end

local function exists(path)
  local _, status = output_of("test -e " .. quote(path))
  return status == 0
end

describe("the sandbox", function()
  local box

  setup(function() box = sandbox.start { args = { "--body-limit", "65536" } } end)
  teardown(function() box:stop() end)
  before_each(function() box:reset() end)

  it("takes the vendor's sample call as it stands", function()
    local text, status = post(box, "[]")
    assert.equal(0, status, text)
    assert.truthy(text:match('^{"data":true,"errorCode":null,"errorDesc":null,"success":true,'
      .. '"traceId":"[%x%-]+"}$'), text)
  end)

  it("keeps what arrives as it came", function()
    post(box, "[" .. event("u-1") .. "," .. event("u-2") .. "]")
    local found = box:events { valid = true }
    assert.same({ "u-1", "u-2" }, { found[1].event.customerId, found[2].event.customerId })
    assert.equal(2, box:all().events.valid)
    assert.equal(1, box:all().requests)
  end)

  it("answers on one connection, chunked bodies too", function()
    local call = vendor_call(box, "[" .. event("u-1") .. "]")
    local once = call:gsub("^curl %-sS", "")
    local text = output_of("curl -sS" .. once .. " --next -sS -w ' %{num_connects}' "
      .. "-H 'Transfer-Encoding: chunked'" .. once .. " 2>&1")
    assert.truthy(text:match('"success":true.*"success":true.* 0$'), text)
    assert.equal(2, box:all().events.valid)
  end)

  it("refuses a body larger than its limit in the service's shape", function()
    local text = post(box, "[" .. (event("u-1") .. ","):rep(1000) .. event("u") .. "]",
      "-w ' %{http_code}'")
    assert.truthy(text:find('"errorCode":"BODY_TOO_LARGE"', 1, true), text)
    assert.truthy(text:find(" 413$"), text)
  end)

  it("answers unknown paths and wrong methods in the service's shape", function()
    local text = output_of("curl -sSi " .. box.url .. "/openapi")
    assert.truthy(text:find("^HTTP/1.1 404 "), text)
    assert.truthy(text:find('"errorCode":"NOT_FOUND"', 1, true), text)
    text = output_of("curl -sSi " .. box.url .. PATH)
    assert.truthy(text:find("^HTTP/1.1 405 "), text)
    assert.truthy(text:find("Allow: POST", 1, true), text)
  end)

  it("says what is wrong with a signature, without the secret", function()
    local call = vendor_call(box, "[]"):gsub("Authorization: (%x+)", function(signature)
      return "Authorization: " .. signature:upper()
    end)
    local text = output_of(call)
    assert.truthy(text:find("it must be in lower case", 1, true), text)
    assert.is_nil(text:find(box.credentials.access_secret, 1, true))
  end)

  it("waits until events are in", function()
    local dir = sandbox.scratch()
    -- The FIFO holds the waiting call's answer back until somebody reads it.
    sh("curl -sS '" .. box.url
      .. "/sandbox/wait?events=2&timeout=30' >" .. dir .. "/out 2>&1 &")
    post(box, "[" .. event("u-1") .. "]")
    post(box, "[" .. event("u-2") .. "]")
    local all = cjson.decode(sandbox.read_file(dir .. "/out"))
    sh("rm -rf " .. dir)
    assert.is_nil(all.timed_out)
    assert.equal(2, all.events.valid)
  end)

  it("says after the timeout what is in all the same", function()
    post(box, "[" .. event("u-1") .. "]")
    local text = output_of("curl -sS -w ' %{http_code}' '" .. box.url
      .. "/sandbox/wait?events=2&timeout=0'")
    local body, status = text:match("^(.*) (%d+)$")
    assert.equal("408", status)
    assert.same({ true, 1 }, { cjson.decode(body).timed_out, cjson.decode(body).events.valid })
  end)

  describe("on demand", function()
    local function faulty(fault, more)
      box:faults(fault)
      return post(box, "[" .. event("u-1") .. "]", more or "-i")
    end

    it("answers a status with Retry-After", function()
      local text = faulty { status = 429, retry_after = 12 }
      assert.truthy(text:find("^HTTP/1.1 429 "), text)
      assert.truthy(text:find("\r\nRetry-After: 12\r\n", 1, true), text)
      assert.equal(0, box:all().events.valid)
    end)

    it("redirects", function()
      box:faults { status = 302, headers = { Location = box.url .. "/elsewhere" } }
      local status, _, headers = box:request("POST", PATH, "")
      assert.same({ 302, box.url .. "/elsewhere" }, { status, headers.location })
    end)

    it("shows another time", function()
      local day = 24 * 3600
      local text = faulty { date_skew = day }
      local shown = text:match("\r\nDate: (.-)\r\n")
      local seconds = tonumber((output_of("date +%s -d " .. quote(shown))))
      assert.is_true(math.abs(seconds - os.time() - day) <= 2, shown)
    end)

    it("sends no body, or what is no answer", function()
      local text = faulty { body = "empty" }
      assert.truthy(text:find("\r\nContent-Length: 0\r\n", 1, true), text)
      assert.truthy(text:find("\r\n\r\n$"), text)
      text = faulty { body = "garbage" }
      assert.truthy(text:find("^HTTP/1.1 200 "), text)
      assert.truthy(text:find("502 Bad Gateway", 1, true), text)
    end)

    it("cuts the body off", function()
      local text, status = faulty({ body = "cut_off" }, "")
      assert.equal(18, status, text) -- curl: partial file
      assert.equal(1, box:all().events.valid)
    end)

    it("sends more than a megabyte", function()
      local text, status = faulty({ body = "oversized" }, "-o /dev/null -w '%{size_download}'")
      assert.equal(0, status)
      assert.is_true(tonumber(text) > 1024 * 1024, text)
    end)

    it("closes the connection before and after the call is stored", function()
      local text, status = faulty { close = "before" }
      assert.equal(52, status, text) -- curl: empty reply
      assert.equal(0, box:all().events.valid)
      text, status = faulty { close = "after" }
      assert.equal(52, status, text)
      assert.equal(1, box:all().events.valid)
      assert.equal(2, box:all().statuses.closed)
    end)

    it("takes its time, while other calls are answered", function()
      local text = faulty({ delay = 0.3 }, "-o /dev/null -w '%{time_total}'")
      assert.is_true(tonumber(text) >= 0.3, text)
    end)
  end)
end)

describe("the command sandbox", function()
  after_each(function()
    for one in pairs(running) do
      sh("kill " .. one.pid)
      one.finish()
    end
  end)

  for signal, prefix in pairs { TERM = "", KILL = "", INT = "env --default-signal=INT" } do
    it("ends with nginx and its directory on " .. signal, function()
      local one = start("--port 0 --print-port", prefix)
      assert.is_true(answers(one.url), one.first)
      local _, dir = supervisor_of(one.pid)
      assert.equal("700", (output_of("stat -c %a " .. dir):gsub("%s", "")))
      sh("kill -" .. signal .. " " .. one.pid)
      assert.truthy(one.finish():find("cat 0\n", 1, true), "a process is left")
      assert.is_false(answers(one.url))
      assert.is_false(exists(dir))
      assert.equal("", one.log)
    end)
  end

  it("ends on Ctrl-C, which reaches every process at once, and says nothing", function()
    local one = start("--port 0 --print-port", "env --default-signal=INT setsid")
    local _, dir = supervisor_of(one.pid)
    sh("kill -s INT -- -" .. one.pid)
    assert.truthy(one.finish():find("cat 0\n", 1, true), "a process is left")
    assert.is_false(exists(dir))
    assert.equal("", one.log)
  end)

  it("ends when only the shell between it and nginx is killed", function()
    local one = start("--port 0 --print-port")
    local shell, dir = supervisor_of(one.pid)
    sh("kill -KILL " .. shell)
    assert.truthy(one.finish():find("cat 0\n", 1, true), "a process is left")
    assert.is_false(answers(one.url))
    assert.is_false(exists(dir))
  end)

  it("says so when nginx is killed", function()
    local one = start("--port 0 --print-port")
    local shell, dir = supervisor_of(one.pid)
    for _, child in ipairs(children_of(shell)) do
      if child[2]:find("nginx -p ", 1, true) then sh("kill -KILL " .. child[1]) end
    end
    one.finish()
    assert.truthy(one.log:find("nginx ended with status 137", 1, true), one.log)
    assert.is_false(exists(dir))
  end)

  it("says the URL and the demo credentials first", function()
    local one = start("--port 0")
    assert.equal("quickaudience sandbox listens on " .. one.url, one.first)
    sh("kill " .. one.pid)
    local rest = one.finish()
    assert.truthy(rest:find("access_secret = demo-access-secret", 1, true), rest)
  end)

  it("refuses a port in use in plain words", function()
    local one = start("--port 0 --print-port")
    local text, status = output_of(sandbox.command() .. " sandbox --port " .. one.port .. " 2>&1")
    sh("kill " .. one.pid)
    one.finish()
    assert.equal(1, status)
    assert.truthy(text:find("port " .. one.port .. " is in use", 1, true), text)
  end)

  it("refuses an nginx that is not there, or has no Lua", function()
    local text, status = output_of(sandbox.command()
      .. " sandbox --port 0 --nginx /nowhere/nginx 2>&1")
    assert.equal(1, status)
    assert.truthy(text:find("there is no program '/nowhere/nginx'", 1, true), text)
  end)

  it("shows a user's secret nowhere", function()
    local dir = sandbox.scratch()
    local file = assert(io.open(dir .. "/credentials.json", "w"))
    file:write('{"app_id":"mine","access_key":"k","access_secret":"5up3r-s3cr3t"}')
    file:close()
    local one = start("--port 0 --verbose --credentials " .. dir .. "/credentials.json")
    local shell, work = supervisor_of(one.pid)
    local seen = output_of("cat /proc/[0-9]*/cmdline 2>&1") .. output_of("cat /proc/" .. one.pid
      .. "/environ /proc/" .. shell .. "/environ | tr '\\0' '\\n'")
    local kept = output_of("cat $(find " .. work .. " -type f)")
    local box = { url = one.url,
      credentials = { app_id = "mine", access_key = "k", access_secret = "wrong" } }
    local answer = post(box, "[]")
    box.credentials.access_secret = "5up3r-s3cr3t"
    local right = post(box, "[]")
    sh("kill " .. one.pid .. "; rm -rf " .. dir)
    local said = one.finish() .. one.log
    assert.truthy(right:find('"success":true', 1, true), right)
    assert.truthy(one.log:find("SIGNATURE_MISMATCH", 1, true), one.log)
    for name, text in pairs { processes = seen, files = kept, answer = answer, said = said } do
      assert.is_nil(text:find("5up3r", 1, true), name)
    end
  end)

  it("runs as a user who is not root", function()
    if whoami():match("^%d+") ~= "0" then return end -- then every other test showed it
    local dir = sandbox.scratch() -- the tree may lie where only root can read
    sh("cp -r lua " .. dir .. " && chmod -R a+rX " .. dir)
    local one = start("--port 0 --print-port",
      "setpriv --reuid=65534 --regid=65534 --clear-groups", dir .. "/lua")
    local working = one.url and answers(one.url)
    sh("kill " .. one.pid)
    one.finish()
    sh("rm -rf " .. dir)
    assert.is_true(working, one.log)
  end)
end)
