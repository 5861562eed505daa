-- settings_spec.lua
-- Gathers settings from flags, files and an environment, and looks at which wins.
-- Does not know what clients do with them.
-- SPDX-License-Identifier: MIT
local command = require "support.command"
local settings = require "quickaudience.cli.settings"
local shell = require "support.shell"

describe("settings", function()
  local folder, errors

  before_each(function()
    folder = shell.folder()
    errors = ""
  end)

  after_each(function() shell.check("rm -rf " .. folder) end)

  local function file(name, text, mode)
    local path = command.write_file(folder .. "/" .. name, text)
    shell.check("chmod " .. (mode or "600") .. " " .. path)
    return path
  end

  local function read(args, environment)
    return settings.read(args, {
      getenv = function(name) return (environment or {})[name] end,
      stderr = { write = function(_, ...) errors = errors .. table.concat { ... } end },
    })
  end

  it("come from flags before the file, and from the file before the environment", function()
    local path = file("c.lua", 'return { linger = 0.2 + 0.1, timeout = "4s", app_id = "file" }')
    local found = assert(read({ config = path, batch_events = "7", linger = "100ms" }, {
      QUICKAUDIENCE_APP_ID = "env", QUICKAUDIENCE_BATCH_EVENTS = "9",
      QUICKAUDIENCE_BATCH_BYTES = "4KiB", QUICKAUDIENCE_ALLOW_INSECURE_HTTP = "yes",
      QUICKAUDIENCE_ATTRIBUTES = '{"a":1}', QUICKAUDIENCE_SPOOL = "",
    }))
    assert.same({ app_id = "file", batch_events = 7, linger = 0.1, timeout = 4,
      batch_bytes = 4096, allow_insecure_http = true, attributes = { a = 1 } }, found)
  end)

  it("take JSON too, and the file's name from the environment", function()
    local path = file("c.json", '{"app_id":"json","batch_bytes":"1MiB"}')
    assert.same({ app_id = "json", batch_bytes = 1048576 },
      read({}, { QUICKAUDIENCE_CONFIG = path }))
  end)

  it("run a Lua file in an empty environment", function()
    local _, message = read { config = file("c.lua", 'return { app_id = os.getenv("HOME") }') }
    assert.truthy(message:find("c%.lua: "), message)
    for text, part in pairs {
      ["return 5"] = "must return a table", ["x ="] = "c.lua: 1:", ["\27Lua"] = "compiled Lua",
      ["{ broken"] = "is not a JSON object", ['["endpoint"]'] = "is not a JSON object",
      ["a: 1\nb: 2"] = "expected a JSON object, or Lua that returns a table",
      [""] = "is empty; expected", [" \n"] = "is empty; expected",
      ["return os.time()"] = "it can compute, but reach nothing",
      ["return { on_delivery = function() end }"] = "on_delivery: cannot be set",
      ['return { linger = "soon" }'] = "linger: expected a duration",
    } do
      local found
      found, message = read { config = file("c.lua", text) }
      assert.is_nil(found)
      assert.truthy(message:find(part, 1, true), message)
    end
    _, message = read { config = folder .. "/none" }
    assert.truthy(message:find("No such file", 1, true), message)
  end)

  it("take the secret from a file or the environment, never from the command line", function()
    local path = file("secret", "s3cret\nmore\n")
    assert.equal("s3cret", read({ access_secret_file = path }).access_secret)
    assert.equal("env", read({}, { QUICKAUDIENCE_ACCESS_SECRET = "env",
      QUICKAUDIENCE_ACCESS_SECRET_FILE = path }).access_secret)
    assert.equal("s3cret", read({}, { QUICKAUDIENCE_ACCESS_SECRET_FILE = path }).access_secret)
    assert.equal("", errors)
    local found, message = read { access_secret = "literal" }
    assert.is_nil(found)
    assert.truthy(message:find("other users", 1, true))
    assert.is_nil(message:find("literal", 1, true))
  end)

  it("quote nothing of a file that cannot be read as Lua", function()
    for _, text in ipairs { "return { access_secret = 's3cret }",
      "return {\n access_secret = 'a' s3cret }" } do
      local _, message = read { config = file("c.lua", text) }
      assert.truthy(message:find("c%.lua:.*%d: ") or message:find("c%.lua.*:%d:"), message)
      assert.truthy(message:find("returns a table", 1, true), message)
      assert.is_nil(message:find("s3cret", 1, true), message)
    end
  end)

  it("warn when everybody can read the secret", function()
    read { config = file("c.lua", 'return { access_secret = "s3cret" }', "644") }
    assert.truthy(errors:find("chmod 600", 1, true), errors)
    assert.is_nil(errors:find("s3cret", 1, true))
    errors = ""
    read { config = file("d.lua", 'return { app_id = "a" }', "644") }
    assert.equal("", errors)
  end)

  it("say where a missing key can be given, and which flag is wrong", function()
    local missing = "config.app_id: missing; a string is required"
    assert.equal(missing .. " (--app-id, QUICKAUDIENCE_APP_ID, or 'app_id' in --config)",
      settings.explain(missing))
    assert.equal("other", settings.explain("other"))
    local _, message = read { batch_bytes = "many" }
    assert.truthy(message:find("^%-%-batch%-bytes: expected a size"), message)
    _, message = read({}, { QUICKAUDIENCE_LINGER = "x" })
    assert.truthy(message:find("^QUICKAUDIENCE_LINGER: "), message)
  end)

  it("of an unknown key name the nearest", function()
    local path = file("c.lua", 'return { endpoint = "https://a", lingr = 1 }')
    local code, _, err = command.run({ "check", "--config", path })
    assert.equal(2, code)
    assert.truthy(err:find("did you mean 'linger'?", 1, true), err)
    code, _, err = command.run { "check", "--lingr", "1" }
    assert.equal(2, code)
    assert.truthy(err:find("did you mean '--linger'?", 1, true), err)
  end)
end)
