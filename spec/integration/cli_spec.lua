-- cli_spec.lua
-- Uses the command as people do: checks, sends and imports into a local Quick Audience.
-- Does not know how it is built.
-- SPDX-License-Identifier: MIT
local cjson = require "cjson"
local command = require "support.command"
local sandbox = require "support.sandbox"
local shell = require "support.shell"

describe("the command", function()
  local box, folder, environment

  setup(function()
    box = sandbox.start()
    environment = command.environment(box)
  end)

  teardown(function() box:stop() end)

  before_each(function()
    box:reset()
    folder = shell.folder()
  end)

  after_each(function() shell.check("rm -rf " .. folder) end)

  local function run(args, input, terminal)
    return command.run(args, { environment = environment, input = input, terminal = terminal })
  end

  local function file(name, text)
    return command.write_file(folder .. "/" .. name, text)
  end

  local function refused_lines(path)
    local list = {}
    for line in (command.read_file(path) or ""):gmatch("[^\n]+") do
      list[#list + 1] = cjson.decode(line)
    end
    table.sort(list, function(a, b) return a.line < b.line end)
    return list
  end

  describe("as a process", function()
    local function word(text)
      return sandbox.command():gsub("package.path=.-package.path", text)
    end

    it("says in words that it was interrupted", function()
      box:faults { { delay = 60 } }
      local pid, pipe = command.start({ "check" }, environment)
      box:wait { requests = 1 }
      shell.check("kill -INT " .. pid)
      assert.equal("quickaudience: interrupted\n", pipe:read("*a"))
      pipe:close()
    end)

    it("says what to do when it does not find the module", function()
      local output, status = shell.run("env -u LUA_PATH -u LUA_PATH_5_2 -u LUA_PATH_5_3 "
        .. "-u LUA_PATH_5_4 " .. word("package.path=package.path"))
      assert.equal(1, status)
      assert.truthy(output:find("does not find the module 'quickaudience.cli'", 1, true), output)
      assert.truthy(output:find("make env", 1, true), output)
      assert.is_nil(output:find("stack traceback", 1, true))
    end)

    it("ends quietly when nobody reads on, and fails when the disk is full", function()
      local line = command.write_file(folder .. "/a.ndjson", command.events(1))
      local output, status = shell.run(sandbox.command() .. " send --dry-run <" .. line
        .. " >/dev/full")
      assert.equal(1, status)
      assert.truthy(output:find("cannot write to standard output", 1, true), output)
      local list = command.write_file(folder .. "/b.json", "[" .. command.events(20000)
        :gsub("\n", ",") .. command.events(1) .. "]")
      output = shell.run(sandbox.command() .. " send --dry-run <" .. list .. " | head -1")
      assert.equal(1, select(2, output:gsub("\n", "")), output:sub(1, 300))
    end)
  end)

  describe("check", function()
    it("says line by line what is well", function()
      local code, out, err = run { "check" }
      assert.same({ 0, "" }, { code, err })
      for _, name in ipairs { "dns", "connect", "tls", "clock", "signature" } do
        assert.truthy(("\n" .. out):find("\n" .. name .. " +ok"), out)
      end
    end)

    it("says what to do about a wrong signature, a wrong port and a wrong path", function()
      local code, out = run { "check", "--app-id", "nobody" }
      assert.equal(1, code)
      assert.truthy(out:find("signature  FAILED", 1, true), out)
      assert.truthy(out:find("what to do: check app_id", 1, true), out)
      code, out = run { "check", "--endpoint", "http://127.0.0.1:1" }
      assert.equal(1, code)
      assert.truthy(out:find("connect    FAILED", 1, true), out)
      code, out = run { "check", "--path", "/nowhere", "--json" }
      assert.equal(1, code)
      local result = cjson.decode(out)
      assert.same({ false, "HTTP" }, { result.ok, result.code })
    end)
  end)

  describe("send", function()
    it("sends an event from flags", function()
      local code, out, err = run { "send", "--customer-id", "u-1", "--event-code", "pay",
        "--event-time", "1708235644862", "--attribute", "sku=a=b", "--attribute-json",
        "products=[{\"id\":1}]", "--id", "MOBILE=139", "--is-order" }
      assert.same({ 0, "", "" }, { code, out, err })
      local event = box:events {}[1].event
      assert.same({ "u-1", "pay", 1708235644862 },
        { event.customerId, event.eventCode, event.eventTime })
      assert.equal("a=b", event.extendAttributes.sku)
    end)

    it("sends JSON from standard input, one event or several", function()
      assert.equal(0, (run({ "send" }, '{"customer_id":"a","event_code":"b"}')))
      local code, out = run({ "send", "--json" },
        '[{"customerId":"a","eventCode":"b"},{"customerId":"c","eventCode":"d"}]')
      assert.equal(0, code)
      assert.equal(true, cjson.decode(out).ok)
      assert.equal(3, box:all().events.valid)
    end)

    it("says why not", function()
      local code, out, err = run { "send", "--customer-id", "u" }
      assert.same({ 1, "" }, { code, out })
      assert.truthy(err:find("event.event_code: missing", 1, true), err)
      local _
      code, _, err = run({ "send" }, "{")
      assert.equal(2, code)
      assert.truthy(err:find("standard input:", 1, true), err)
      assert.equal(0, box:all().events.valid)
    end)
  end)

  describe("import", function()
    it("sends every line, and sets aside those that are no good", function()
      local path = file("a.ndjson", command.events(1500) .. 'no json\n\n{"customer_id":5}\n'
        .. '{"customer_id":"x","event_code":"y","workspace_id":null,"attributes":{"a":null}}')
      local code, out, err = run { "import", path, "--batch-events", "100" }
      assert.same({ 1, "" }, { code, out })
      assert.truthy(err:find("1,501 delivered, 2 refused", 1, true), err)
      assert.equal(1501, box:all().events.distinct)
      local list = refused_lines(path .. ".refused")
      assert.same({ 1501, 1503 }, { list[1].line, list[2].line })
      assert.same({ "no json", "event.customer_id: expected a string, got a number" },
        { list[1].text, list[2].reason })
    end)

    it("names the lines that the service refuses", function()
      box:faults { faults = {}, reject_customer_ids = { "u7", "u250" } }
      local path = file("a.ndjson", command.events(300))
      local code, out = run { "import", path, "--json", "--batch-events", "50" }
      box:clear_faults()
      assert.equal(1, code)
      local result = cjson.decode(out)
      assert.same({ false, 300, 298, 2 },
        { result.ok, result.lines, result.delivered, result.refused })
      local list = refused_lines(result.refused_file)
      assert.same({ 7, 250 }, { list[1].line, list[2].line })
    end)

    it("reads CSV with a mapping, gzipped, from standard input", function()
      local path = file("b.csv", "user,event_code,when,price,note\r\n"
        .. 'u1,visit,1708235644862,12.5,"a ""q"", b\r\nsecond"\r\n'
        .. "u2,visit,1708235644863,,\r\nu3,visit,1\r\n")
      local args = { "import", path, "--column", "user=customer_id", "--column", "when=event_time",
        "--set", "attributes.source=csv" }
      local code, _, err = run(args)
      assert.equal(1, code)
      assert.truthy(err:find("2 delivered, 1 refused", 1, true), err)
      local list = refused_lines(path .. ".refused")
      assert.same({ 5, "3 fields, expected 5" }, { list[1].line, list[1].reason })
      local event = box:events {}[1].event
      assert.same({ "u1", 1708235644862 }, { event.customerId, event.eventTime })
      assert.same({ price = "12.5", note = 'a "q", b\nsecond', source = "csv" },
        event.extendAttributes)

      box:reset()
      path = file("c.ndjson", command.events(1000))
      shell.check("gzip " .. path)
      local packed = command.read_file(path .. ".gz")
      code = run({ "import", "-", "--refused", folder .. "/r" }, packed)
      assert.equal(0, code)
      assert.equal(1000, box:all().events.distinct)
      code, _, err = run({ "import", "-", "--refused", folder .. "/r" },
        packed:sub(1, #packed - 30))
      assert.equal(1, code)
      assert.truthy(err:find("gzip: the file is cut off", 1, true), err)
    end)

    it("sends nothing in a dry run", function()
      local path = file("a.ndjson", command.events(10) .. "broken\n")
      local code, _, err = run { "import", path, "--dry-run" }
      assert.equal(1, code)
      assert.truthy(err:find("10 valid, 1 refused", 1, true), err)
      assert.truthy(err:find("line 11: not JSON", 1, true), err)
      assert.same({ path }, shell.lines("ls -d " .. folder .. "/*"))
      assert.equal(0, box:all().requests)
    end)

    it("keeps to a rate", function()
      local path = file("a.ndjson", command.events(60))
      local before = os.time()
      assert.equal(0, (run { "import", path, "--rate", "40" }))
      local took = os.time() - before
      assert.truthy(took >= 1 and took <= 10, took)
    end)

    it("goes on only when told how, and sends nothing twice", function()
      local path = file("a.ndjson", command.events(500))
      assert.equal(0, (run { "import", path }))
      local code, _, err = run { "import", path }
      assert.equal(2, code)
      assert.truthy(err:find("--resume", 1, true), err)
      assert.equal(0, (run { "import", path, "--resume" }))
      assert.equal(500, box:all().events.valid)
      file("a.ndjson", "{}\n" .. command.events(500))
      code, _, err = run { "import", path, "--resume" }
      assert.equal(1, code)
      assert.truthy(err:find("belongs to another input", 1, true), err)
    end)

    it("gets through a queue that is smaller than a batch", function()
      local path = file("a.ndjson", command.events(200))
      local code, _, err = run { "import", path, "--queue-bytes", "2KiB", "--batch-bytes", "1KiB" }
      assert.same({ 0, "" }, { code, err })
      assert.equal(200, box:all().events.distinct)
    end)

    it("waits while the service fails, and gives up when its deadline has passed", function()
      local path = file("a.ndjson", command.events(300))
      box:faults { { status = 503, times = 3 } }
      assert.equal(0, (run { "import", path, "--retry-base", "10ms" }))
      box:faults { { status = 503, times = 100000 } }
      local args = { "import", path, "--restart", "--retry-base", "10ms", "--retry-max", "20ms",
        "--delivery-deadline", "200ms" }
      local code, _, err = run(args)
      assert.equal(1, code)
      assert.truthy(err:find("not delivered within", 1, true), err)
      assert.truthy(err:find("--resume goes on", 1, true), err)
      box:clear_faults()
      box:reset()
      assert.equal(0, (run { "import", path, "--resume" }))
      assert.equal(300, box:all().events.distinct)
    end)

    it("says at once what it waits for when the service cannot be reached", function()
      local path = file("a.ndjson", command.events(10))
      local code, _, err = run { "import", path, "--endpoint", "http://127.0.0.1:1",
        "--delivery-deadline", "100ms", "--retry-base", "10ms" }
      assert.equal(1, code)
      assert.truthy(err:find("^quickaudience import: network: cannot connect[^\n]+\n"
        .. "  it is tried again, for as long as %-%-delivery%-deadline says\n"), err)
    end)

    it("stops at once when the service does not know the caller", function()
      local path = file("a.ndjson", command.events(10))
      local code, _, err = run { "import", path, "--app-id", "nobody" }
      assert.equal(1, code)
      assert.truthy(err:find("check app_id", 1, true), err)
      assert.equal(0, (run { "import", path, "--resume" }))
      assert.equal(10, box:all().events.distinct)
    end)

    it("shows a progress line on a terminal", function()
      local path = file("a.ndjson", command.events(50))
      local code, out, err = run({ "import", path }, nil, { stdout = true, stderr = true })
      assert.equal(0, code)
      assert.truthy(out:find("50 lines, 50 delivered, 0 refused", 1, true), out)
      assert.truthy(err:find("\r[####################] 100%", 1, true), err)
    end)

    it("loses no line when it is killed again and again", function()
      local total, kills, batch = 4000, 5, 20
      local path = file("a.ndjson", command.events(total) .. "broken\n")
      local counts, output = command.import_with_kills(box, path, total, kills,
        { "--batch-events", tostring(batch), "--max-in-flight", "2" })
      assert.truthy(output:find("4,001 lines, 4,000 delivered, 1 refused", 1, true), output)
      assert.equal(total, counts.distinct)
      -- Eight stretches are under way at a time, at most.
      assert.truthy(counts.valid - total <= kills * 8 * batch, counts.valid)
      assert.equal(1, #refused_lines(path .. ".refused"))
    end)
  end)
end)
