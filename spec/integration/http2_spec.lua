-- http2_spec.lua
-- HTTP/2 against a real nginx: that it is used where it is offered, and that early answers count.
-- Does not know how the service itself answers.
-- SPDX-License-Identifier: MIT
local nginx = require "spec.support.nginx"
local quickaudience = require "quickaudience"
local shell = require "spec.support.shell"
local socket = require "socket"

local SUCCESS = '{"data":true,"errorCode":null,"errorDesc":null,"success":true,"traceId":"t"}'

describe("HTTP/2", function()
  local site, port, client

  setup(function()
    local listener = socket.bind("127.0.0.1", 0)
    port = select(2, listener:getsockname())
    listener:close()
    local folder = shell.folder()
    shell.check("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
      .. "-keyout " .. folder .. "/key.pem -out " .. folder .. "/certificate.pem -days 2 "
      .. "-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1")
    local function read(name)
      local file = assert(io.open(folder .. "/" .. name))
      local text = file:read("*a")
      file:close()
      return text
    end
    site = nginx.start {
      files = { ["key.pem"] = read("key.pem"), ["certificate.pem"] = read("certificate.pem") },
      http = ([[
        log_format protocol '$server_protocol $status';
        server {
          listen 127.0.0.1:%d ssl http2;
          ssl_certificate certificate.pem;
          ssl_certificate_key key.pem;
          access_log protocol.log protocol;
          client_max_body_size 100k;
          client_body_buffer_size 1m;
          location / { return 200 '%s'; }
        }]]):format(port, SUCCESS),
      server = "",
    }
    os.execute("rm -rf " .. shell.quote(folder))
  end)

  teardown(function() site:stop() end)

  after_each(function()
    if client then client:close(0) end
  end)

  local function connect()
    client = assert(quickaudience.new {
      endpoint = "https://127.0.0.1:" .. port, ca_file = site.dir .. "/certificate.pem",
      app_id = "a", access_key = "k", access_secret = "s", organization_id = "o", retry_max = 0.2,
    })
    return client
  end

  local function events(count, size)
    local list = {}
    for i = 1, count do
      list[i] = { customer_id = "u" .. i, event_code = "x",
        attributes = { text = ("x"):rep(size) } }
    end
    return list
  end

  local function protocols()
    local seen = {}
    for line in (site:file("protocol.log") or ""):gmatch("[^\n]+") do seen[line] = true end
    return seen
  end

  it("is used where the service offers it", function()
    assert.equal("t", assert(connect():send(events(1, 10))).trace_id)
    assert.is_true(nginx.wait_for(5, function() return protocols()["HTTP/2.0 200"] end))
  end)

  it("takes an answer that comes before the request was read", function()
    connect()
    for _ = 1, 5 do -- larger than a stream's first window, smaller than the server's limit
      assert.equal("t", assert(client:send(events(90, 1000))).trace_id)
    end
  end)

  it("halves a request that is refused before it was read, and delivers all of it", function()
    connect()
    local result, message, code = client:send(events(150, 1000))
    assert.is_nil(result)
    assert.equal("HTTP", code)
    assert.matches("413", message)
    for _, event in ipairs(events(400, 1000)) do assert(client:report(event)) end
    assert.is_true(client:flush(30))
    local stats = client:stats()
    assert.equal(400, stats.delivered)
    assert.is_nil(stats.requests.by_outcome.TIMEOUT)
  end)
end)
