--- config_spec.lua
-- Checks the configuration's defaults, ranges, bounds and messages.
-- Does not know what a key does to a client.
-- SPDX-License-Identifier: MIT

local config = require "quickaudience.config"

local REQUIRED = { endpoint = "https://example.com", app_id = "app-1", access_key = "key-1",
  access_secret = "secret-1", organization_id = "org-1" }

local function with(changes)
  local given = {}
  for name, value in pairs(REQUIRED) do given[name] = value end
  for name, value in pairs(changes or {}) do given[name] = value end
  return given
end

local function without(name)
  local given = with()
  given[name] = nil
  return given
end

local function refused(expected, given)
  local settings, message, code = config.check(given)
  assert.is_nil(settings)
  assert.equal(expected, message)
  assert.equal("CONFIG", code)
end

local function accepted(changes)
  return assert(config.check(with(changes)))
end

describe("config", function()
  it("fills in the contract's defaults", function()
    local settings = accepted()
    for name, value in pairs { batch_events = 200, batch_bytes = 512 * 1024, linger = 0.2,
      queue_events = 100000, queue_bytes = 64 * 1024 * 1024, max_in_flight = 4, timeout = 10,
      connect_timeout = 3, retry_base = 0.2, retry_max = 60, delivery_deadline = 300,
      spool_max_bytes = 1024 * 1024 * 1024, spool_sync = "full", commit_interval = 0.05,
      close_timeout = 2, allow_insecure_http = false, access_id = "org-1",
      path = "/openapi/cloud/event/detail/receive", sign_encoding = "form" } do
      assert.equal(value, settings[name], name)
    end
    for _, name in ipairs { "workspace_id", "attributes", "spool", "on_delivery", "ca_file",
      "proxy", "error_codes", "max_requests_per_second" } do
      assert.is_nil(settings[name], name)
    end
  end)

  it("gives events a day with a spool", function()
    assert.equal(86400, accepted({ spool = "/var/spool/events" }).delivery_deadline)
    assert.equal(7, accepted({ spool = "/var/spool/events", delivery_deadline = 7 })
      .delivery_deadline)
  end)

  it("keeps what it was given as it was", function()
    local given = with { linger = 1 }
    config.check(given)
    assert.same(with { linger = 1 }, given)
    assert.equal("other", accepted({ access_id = "other" }).access_id)
  end)

  it("describes every key once, in full", function()
    local seen = {}
    for _, key in ipairs(config.keys) do
      assert.is_nil(seen[key.name], key.name)
      seen[key.name] = true
      assert.truthy(key.doc:find("%.$"), key.name)
      assert.truthy(({ high = 1, medium = 1, low = 1 })[key.importance], key.name)
      if key.type == "integer" or key.type == "number" then
        assert.truthy(key.min < key.max and key.unit, key.name)
        if type(key.default) == "number" then
          assert.truthy(key.min <= key.default and key.default <= key.max, key.name)
        end
      end
    end
  end)

  it("names the required key that is missing", function()
    refused("config.endpoint: missing; a URL is required", without "endpoint")
    for _, name in ipairs { "app_id", "access_key", "access_secret", "organization_id" } do
      refused("config." .. name .. ": missing; a string is required", without(name))
    end
  end)

  it("names the key that was probably meant", function()
    refused("config.lingr: unknown key; did you mean 'linger'?", with { lingr = 1 })
    refused("config.accessSecret: unknown key; did you mean 'access_secret'?",
      with { accessSecret = "s" })
    refused("config.elephant: unknown key", with { elephant = 1 })
    refused("config: expected only strings as keys, got a number", with { "x" })
    refused("config.aaa: unknown key", with { zzz = 1, aaa = 1, mmm = 1 })
  end)

  it("holds integers to their range", function()
    local text = "config.batch_events: expected an integer from 1 to 10000 (events), got "
    refused(text .. '"x"', with { batch_events = "x" })
    refused(text .. '"200"', with { batch_events = "200" })
    refused(text .. "0", with { batch_events = 0 })
    refused(text .. "10001", with { batch_events = 10001 })
    refused(text .. "1.5", with { batch_events = 1.5 })
    refused(text .. "a table", with { batch_events = {} })
    refused(text .. "true", with { batch_events = true })
    assert.falsy(config.check(with { batch_events = 0 / 0 }))
    assert.falsy(config.check(with { batch_events = math.huge }))
    assert.equal(10000, accepted({ batch_events = 10000 }).batch_events)
    assert.equal(1, accepted({ batch_events = 1 }).batch_events)
  end)

  it("holds seconds to their range", function()
    local text = "config.linger: expected a number from 0 to 60 (seconds), got "
    refused(text .. "-1", with { linger = -1 })
    refused(text .. "61", with { linger = 61 })
    refused(text .. '"1s"', with { linger = "1s" })
    assert.falsy(config.check(with { linger = 0 / 0 }))
    assert.equal(0, accepted({ linger = 0 }).linger)
    refused("config.timeout: expected a number from 0.1 to 600 (seconds), got 0",
      with { timeout = 0 })
    refused("config.max_requests_per_second: expected a number from 0.001 to 100000 "
      .. "(requests per second), got 0", with { max_requests_per_second = 0 })
  end)

  it("checks every range at its ends", function()
    for _, key in ipairs(config.keys) do
      if key.min then
        local bound = key.at_most
        assert.truthy(config.check(with { [key.name] = key.min }), key.name)
        local most = { [key.name] = key.max }
        if bound then most[bound] = key.max end
        if key.name ~= "linger" then
          assert.truthy(config.check(with(most)), key.name)
        end
        assert.falsy(config.check(with { [key.name] = key.min - 1 }), key.name)
        assert.falsy(config.check(with { [key.name] = key.max + 1 }), key.name)
      end
    end
  end)

  it("checks the other types", function()
    refused('config.spool_sync: expected "full" or "normal", got "off"',
      with { spool_sync = "off" })
    refused('config.sign_encoding: expected "form", "rfc3986" or "none", got a table',
      with { sign_encoding = {} })
    refused("config.on_delivery: expected a function, got a table", with { on_delivery = {} })
    refused('config.attributes: expected a table, got "x"', with { attributes = "x" })
    refused('config.allow_insecure_http: expected true or false, got "yes"',
      with { allow_insecure_http = "yes" })
    refused("config.workspace_id: expected a string, got 7", with { workspace_id = 7 })
    refused("config.organization_id: empty", with { organization_id = "" })
    refused("config.app_id: begins or ends with a blank or a newline", with { app_id = "a\n" })
    refused("config.app_id: contains a control character", with { app_id = "a\0b" })
  end)

  it("shows neither the secret nor the key", function()
    refused("config.access_secret: expected a string, got a number",
      with { access_secret = 424242 })
    refused("config.access_secret: begins or ends with a blank or a newline",
      with { access_secret = "hidden\n" })
    refused("config.access_key: contains a control character", with { access_key = "hid\1den" })
  end)

  it("reads the endpoint", function()
    for given, normal in pairs {
      ["https://example.com"] = "https://example.com",
      ["HTTPS://Example.COM:443/"] = "https://example.com",
      ["https://example.com:8443"] = "https://example.com:8443",
      ["http://localhost:9090"] = "http://localhost:9090",
      ["http://127.0.0.1:80"] = "http://127.0.0.1",
      ["http://127.200.3.4:9090/"] = "http://127.200.3.4:9090",
      ["http://[::1]:9090"] = "http://[::1]:9090",
      ["https://[2001:DB8::1]:8443"] = "https://[2001:db8::1]:8443",
    } do
      assert.equal(normal, accepted({ endpoint = given }).endpoint)
    end
  end)

  it("says what an endpoint should be", function()
    local no_scheme = "config.endpoint: expected a URL with its scheme, as in https://host"
    local no_host = "config.endpoint: the host is missing, expected as in https://host"
    local bad_host = "config.endpoint: expected a host name, and a port from 1 to 65535 if any"
    local only = "config.endpoint: expected only scheme, host and port; a path goes into "
      .. "config.path"
    for given, message in pairs {
      ["example.com"] = no_scheme,
      ["example.com:443"] = no_scheme,
      ["//example.com"] = no_scheme,
      [""] = no_scheme,
      ["https://"] = no_host,
      ["https:///path"] = no_host,
      ["https://:443"] = no_host,
      ["https://host:0"] = bad_host,
      ["https://host:65536"] = bad_host,
      ["https://host:http"] = bad_host,
      ["https://ho_st!"] = bad_host,
      ["https://[::1"] = bad_host,
      ["https://host/openapi"] = only,
      ["https://host?x=1"] = only,
      ["https://host#x"] = only,
      ["https://host\\evil"] = only,
      ["https://us er@host"] = "config.endpoint: contains a blank or a control character",
      ["https://user:pass@host"] = "config.endpoint: must hold no user or password",
      ["ftp://host"] = "config.endpoint: expected https:// or http://, got ftp://",
    } do
      refused(message, with { endpoint = given })
    end
    refused("config.endpoint: expected a URL, got 7", with { endpoint = 7 })
  end)

  it("sends nothing in the clear without the user's word", function()
    local message = "config.endpoint: http:// to '%s' would send events and signature in the "
      .. "clear; use https://, or set allow_insecure_http"
    for _, host in ipairs { "example.com", "10.0.0.1", "127.0.0.1.example.com", "localhost.com",
      "127.0.0.256", "127.1", "[::2]", "128.0.0.1" } do
      refused(message:format(host), with { endpoint = "http://" .. host })
      assert.equal("http://" .. host, accepted({ endpoint = "http://" .. host,
        allow_insecure_http = true }).endpoint)
    end
  end)

  it("reads the path", function()
    assert.equal("/a/b%20c", accepted({ path = "/a/b%20c" }).path)
    refused('config.path: expected a path that begins with "/", got "a"', with { path = "a" })
    for _, path in ipairs { "/a?b", "/a#b", "/a b", "/a\r\nX: y", "/\195\164" } do
      local _, message = config.check(with { path = path })
      assert.truthy(message:find("config.path: expected a path without a query, "
        .. "percent-encoded, got ", 1, true), message)
    end
  end)

  it("reads the proxy and shows none of it", function()
    for _, proxy in ipairs { "http://proxy:3128", "socks5h://user:pa%40ss@[::1]:1080",
      "https://proxy", "socks5://10.0.0.1:1080/" } do
      assert.equal(proxy, accepted({ proxy = proxy }).proxy)
    end
    for proxy, message in pairs {
      ["proxy:3128"] = "expected a URL with its scheme, as in https://host",
      ["ftp://hidden@proxy"] = "expected http://, https://, socks5:// or socks5h://",
      ["http://user:hidden@proxy/path"] = "expected only scheme, user, host and port",
      ["http://user:hidden@"] = "the host is missing, expected as in https://host",
    } do
      refused("config.proxy: " .. message, with { proxy = proxy })
    end
  end)

  it("looks whether the certificates can be read", function()
    refused("config.ca_file: cannot read '/nonexistent/ca.pem': No such file or directory",
      with { ca_file = "/nonexistent/ca.pem" })
    refused("config.ca_file: cannot read '/': empty, or no file", with { ca_file = "/" })
    local name = os.tmpname()
    local file = assert(io.open(name, "w"))
    file:write("-----BEGIN CERTIFICATE-----\n")
    file:close()
    assert.equal(name, accepted({ ca_file = name }).ca_file)
    os.remove(name)
  end)

  it("reads the meaning of error codes", function()
    local given = { E1 = "retry", E2 = "reject", E3 = "pause" }
    local settings = accepted { error_codes = given }
    assert.same(given, settings.error_codes)
    assert.are_not.equal(given, settings.error_codes)
    refused('config.error_codes: expected "retry", "reject" or "pause" for "E1", got "drop"',
      with { error_codes = { E1 = "drop" } })
    refused("config.error_codes: expected the service's codes, strings, as keys, got 1",
      with { error_codes = { "retry" } })
    refused("config.error_codes: expected a table, got true", with { error_codes = true })
    local many = {}
    for i = 1, 257 do many["E" .. i] = "retry" end
    refused("config.error_codes: more than 256 codes", with { error_codes = many })
  end)

  it("refuses keys that contradict each other", function()
    refused("config.batch_events: 300 is more than queue_events (200)",
      with { batch_events = 300, queue_events = 200 })
    refused("config.batch_bytes: 4096 is more than queue_bytes (2048)",
      with { batch_bytes = 4096, queue_bytes = 2048 })
    refused("config.connect_timeout: 20 is more than timeout (10)", with { connect_timeout = 20 })
    refused("config.retry_base: 120 is more than retry_max (60)", with { retry_base = 120 })
    refused("config.linger: 30 is more than delivery_deadline (10)",
      with { linger = 30, delivery_deadline = 10 })
  end)

  it("lets a default give way to what the user set", function()
    local settings = accepted { queue_events = 10, queue_bytes = 1024, timeout = 1,
      retry_max = 0.1, delivery_deadline = 0.1 }
    assert.equal(10, settings.batch_events)
    assert.equal(1024, settings.batch_bytes)
    assert.equal(1, settings.connect_timeout)
    assert.equal(0.1, settings.retry_base)
    assert.equal(0.1, settings.linger)
  end)

  it("shortens what it shows", function()
    local _, message = config.check(with { linger = ("x"):rep(1000) .. "\27[31m" })
    assert.truthy(#message < 160)
    _, message = config.check(with { ["lin\27ger" .. ("x"):rep(1000)] = 1 })
    assert.truthy(#message < 160)
    assert.falsy(message:find("%c"))
  end)

  it("wants all three credentials, and nothing else", function()
    local credentials = { app_id = "a", access_key = "k", access_secret = "s" }
    assert.same(credentials, config.check_credentials(credentials))
    local _, message, code = config.check_credentials { app_id = "a", access_key = "k" }
    assert.equal("credentials.access_secret: missing; a string is required", message)
    assert.equal("CONFIG", code)
    _, message = config.check_credentials { app_id = "a", access_key = "k", secret = "s",
      access_secret = "s" }
    assert.equal("credentials.secret: unknown key", message)
    _, message = config.check_credentials { app_id = "a", access_key = 5, access_secret = "s" }
    assert.equal("credentials.access_key: expected a string, got a number", message)
  end)
end)
