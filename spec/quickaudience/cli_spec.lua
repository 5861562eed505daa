--- cli_spec.lua
-- Checks the command's frame and what `sandbox` makes of its options, without starting anything.
-- Does not know nginx.
-- SPDX-License-Identifier: MIT

local cli = require "quickaudience.cli"
local launcher = require "quickaudience.sandbox.launcher"
local command = require "quickaudience.cli.sandbox"

-- Files that collect what is written to them.
local function sink()
  local file = { text = "" }
  function file:write(...)
    for _, part in ipairs { ... } do self.text = self.text .. part end
    return self
  end
  function file.flush() end
  return file
end

-- Runs the command: exit code, standard output, standard error.
local function run(args, environment, input)
  local context = {
    stdout = sink(), stderr = sink(),
    stdin = { read = function() return input end },
    getenv = function(name) return (environment or {})[name] end,
  }
  local code = cli.main(args, context)
  return code, context.stdout.text, context.stderr.text
end

describe("the command", function()
  it("shows its version, which stands in one place", function()
    local code, out, err = run { "--version" }
    assert.same({ 0, "quickaudience " .. require("quickaudience.version") .. "\n", "" },
      { code, out, err })
  end)

  it("shows what it can do", function()
    local code, out, err = run { "--help" }
    assert.same({ 0, "" }, { code, err })
    for _, word in ipairs { "sandbox", "--version", "Exit codes: 0 done, 1 failed, 2 wrong" } do
      assert.truthy(out:find(word, 1, true), out)
    end
    code, out = run { "sandbox", "--help" }
    assert.equal(0, code)
    for _, word in ipairs { "--port", "--credentials", "9090", "--organization", "Exit codes" } do
      assert.truthy(out:find(word, 1, true), out)
    end
  end)

  it("says what is wrong with the command line, naming the nearest known name", function()
    for words, part in pairs {
      [""] = "a command is required",
      ["sandbx"] = "did you mean 'sandbox'?",
      ["sandbox --prot 1"] = "did you mean '--port'?",
      ["sandbox --port x"] = "--port: must be a whole number from 0 to 65535, is 'x'",
      ["sandbox --port 65536"] = "--port: must be a whole number",
      ["sandbox --keep=-1"] = "--keep: must be a whole number",
      ["sandbox --skew never"] = "--skew: must be a number of seconds",
      ["sandbox --sign-encoding fomr"] = "did you mean 'form'?",
      ["sandbox --host a;b"] = "--host",
      ["sandbox --path x"] = "--path: must begin with '/'",
      ["sandbox more"] = "too many arguments",
    } do
      local args = {}
      for word in words:gmatch("%S+") do args[#args + 1] = word end
      local code, out, err = run(args)
      assert.same({ 2, "" }, { code, out }, words)
      assert.truthy(err:find(part, 1, true), err)
      assert.truthy(err:find("^quickaudience"), err)
    end
  end)

  it("names the help of the subcommand that was meant", function()
    local _, _, err = run { "sandbox", "--prot", "1" }
    assert.truthy(err:find("^quickaudience sandbox: unknown option"), err)
    assert.truthy(err:find("\nTry 'quickaudience sandbox --help'.\n", 1, true), err)
    _, _, err = run { "sandbx" }
    assert.truthy(err:find("\nTry 'quickaudience --help'.\n", 1, true), err)
  end)

  it("fails when its output cannot be written", function()
    local context = { stdout = sink(), stderr = sink(), getenv = function() end }
    function context.stdout.flush() return nil, "No space left on device" end
    for _, words in ipairs { { "--help" }, { "send", "--dry-run", "--customer-id", "u",
      "--event-code", "e" } } do
      context.stderr.text = ""
      assert.equal(1, cli.main(words, context))
      assert.equal("quickaudience: cannot write to standard output: No space left on device\n",
        context.stderr.text)
    end
    function context.stdout.flush() return nil, "Broken pipe" end
    context.stderr.text = ""
    assert.equal(1, cli.main({ "--help" }, context))
    assert.equal("", context.stderr.text)
  end)
end)

describe("the command sandbox", function()
  local given, launch

  before_each(function()
    given = nil
    launch = launcher.run
    launcher.run = function(options) -- luacheck: ignore 122
      given = options
      options.on_ready(options.host, options.port)
      return true
    end
  end)

  after_each(function()
    launcher.run = launch -- luacheck: ignore 122
  end)

  it("has defaults", function()
    local code, out = run { "sandbox" }
    assert.equal(0, code)
    assert.same({ "127.0.0.1", 9090, "warn" }, { given.host, given.port, given.log_level })
    assert.same({
      credentials = { command.demo }, keep = 10000, keep_bytes = 67108864, distinct = 2000000,
      body_limit = 33554432, skew = 900, sign_encoding = "form", lenient = false, seed = 1,
      path = "/openapi/cloud/event/detail/receive",
    }, given.settings)
    assert.equal("quickaudience sandbox listens on http://127.0.0.1:9090", out:match("^[^\n]+"))
    assert.truthy(out:find("access_secret = demo-access-secret", 1, true))
  end)

  it("takes every option", function()
    local code = run { "sandbox", "--port", "0", "--host", "[::1]", "--organization", "a",
      "--organization", "b", "--keep", "5", "--keep-bytes", "6", "--distinct", "7",
      "--body-limit", "2048", "--skew", "0.5", "--sign-encoding", "none", "--path", "/x",
      "--lenient", "--seed", "9", "--nginx", "/n", "--verbose" }
    assert.equal(0, code)
    assert.same({ "::1", 0, "/n", "notice" },
      { given.host, given.port, given.nginx, given.log_level })
    assert.same({
      credentials = { command.demo }, organizations = { "a", "b" }, keep = 5, keep_bytes = 6,
      distinct = 7, body_limit = 2048, skew = 0.5, sign_encoding = "none", lenient = true,
      seed = 9, path = "/x",
    }, given.settings)
  end)

  it("says where to reach it", function()
    local _, out = run { "sandbox", "--print-port", "--port", "1234" }
    assert.equal("1234", out:match("^[^\n]+"))
    _, out = run { "sandbox", "--host", "::1" }
    assert.truthy(out:find("http://[::1]:9090", 1, true))
    _, out = run { "sandbox", "--host", "0.0.0.0" }
    assert.truthy(out:find("http://127.0.0.1:9090", 1, true))
  end)

  it("reports a failure to run", function()
    launcher.run = function() return nil, "no luck" end -- luacheck: ignore 122
    local code, out, err = run { "sandbox" }
    assert.same({ 1, "", "quickaudience sandbox: no luck\n" }, { code, out, err })
  end)

  describe("credentials", function()
    local name

    before_each(function() name = os.tmpname() end)
    after_each(function() os.remove(name) end)

    local function file(text)
      local handle = assert(io.open(name, "w"))
      handle:write(text)
      handle:close()
      return name
    end

    it("come from the command line, repeated, with colons in the secret", function()
      local code, out = run { "sandbox", "--credentials", "a:b:c", "--credentials", "d:e:f:g" }
      assert.equal(0, code)
      assert.same({ { app_id = "a", access_key = "b", access_secret = "c" },
        { app_id = "d", access_key = "e", access_secret = "f:g" } }, given.settings.credentials)
      assert.is_nil(out:find("f:g", 1, true))
      assert.is_nil(out:find("demo", 1, true))
    end)

    it("come from a file or standard input, one or several", function()
      local one = '{"app_id":"a","access_key":"b","access_secret":"c"}'
      local parsed = { app_id = "a", access_key = "b", access_secret = "c" }
      run { "sandbox", "--credentials", file(one) }
      assert.same({ parsed }, given.settings.credentials)
      run({ "sandbox", "--credentials", "-" }, nil, "[" .. one .. "," .. one .. "]")
      assert.same({ parsed, parsed }, given.settings.credentials)
    end)

    it("come from the environment, unless the command line has some", function()
      local environment = { QUICKAUDIENCE_APP_ID = "x", QUICKAUDIENCE_ACCESS_KEY = "y",
        QUICKAUDIENCE_ACCESS_SECRET = "z" }
      run({ "sandbox" }, environment)
      assert.same({ { app_id = "x", access_key = "y", access_secret = "z" } },
        given.settings.credentials)
      run({ "sandbox", "--credentials", "a:b:c" }, environment)
      assert.equal("a", given.settings.credentials[1].app_id)
    end)

    it("are refused when a part is missing or unknown, without being shown", function()
      local secret = "t0ps3cr3t"
      for text, part in pairs {
        ['{"app_id":"a","access_key":"b","acces_secret":"t0ps3cr3t"}'] =
          "did you mean 'access_secret'?",
        ['{"app_id":"a","access_key":"b"}'] = "access_secret: must be a string",
        ['{"app_id":"a","access_key":"","access_secret":"t0ps3cr3t"}'] = "access_key: must be",
        ['{"app_id":"a","access_key":"b","access_secret":"t0ps3cr3t","x":1}'] = "unknown key 'x'",
        ['[{"app_id":"a"}]'] = "[0]: access_key: must be",
        ["t0ps3cr3t"] = "is not JSON",
        ['"t0ps3cr3t"'] = "must be an object",
        [""] = "is not JSON",
      } do
        local code, out, err = run { "sandbox", "--credentials", file(text) }
        assert.same({ 2, "" }, { code, out }, text)
        assert.truthy(err:find(part, 1, true), err)
        assert.is_nil(err:find(secret, 1, true))
      end
      local code, _, err = run { "sandbox", "--credentials", "a:" .. secret }
      assert.equal(2, code)
      assert.is_nil(err:find(secret, 1, true))
      code, _, err = run({ "sandbox" }, { QUICKAUDIENCE_APP_ID = "x" })
      assert.equal(2, code)
      assert.truthy(err:find("QUICKAUDIENCE_ACCESS_KEY: is not set", 1, true), err)
      assert.is_nil(given)
    end)
  end)
end)
