-- spool_spec.lua
-- Checks what `quickaudience spool` prints and changes, on a spool that is made up here.
-- Does not know SQLite.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local cli = require "quickaudience.cli"

local unpack = table.unpack or unpack
local real_core = package.loaded["quickaudience.core"]

local function sink()
  local file = { text = "" }
  function file:write(...)
    for _, part in ipairs { ... } do self.text = self.text .. part end
    return self
  end
  function file.flush() end
  return file
end

local function run(...)
  local context = {
    stdout = sink(), stderr = sink(), stdin = { read = function() end },
    getenv = function() end,
  }
  local code = cli.main({ "spool", ... }, context)
  return code, context.stdout.text, context.stderr.text
end

describe("quickaudience spool", function()
  local files, rows, letters, changes, verdicts, per_page

  -- The page of a list behind the id `after`, as the module gives it.
  local function page(list, after, max)
    local found = {}
    for _, item in ipairs(list or {}) do
      if #found < max and (not after or item.id > after) then
        local copy = {}
        for key, value in pairs(item) do copy[key] = value end
        found[#found + 1] = copy
      end
    end
    return found
  end

  local function change(verb)
    return function(_, name, id)
      changes[#changes + 1] = { verb, name, id }
      return true
    end
  end

  before_each(function()
    local now = os.time() * 1000
    files = {
      { name = "qa-a.db", owner = 4711, maker = 4711, corrupt = false, bytes = 1536, rows = 2,
        events = 3, event_bytes = 30, dead = 2, dead_retry = 0, oldest = now - 65000,
        endpoint = "https://s.example", path = "/p", organization_id = "org", access_id = "acc" },
      { name = "qa-b.db", owner = 0, maker = 1, corrupt = false, bytes = 5 * 1024 * 1024,
        rows = 0, events = 0, event_bytes = 0, dead = 1, dead_retry = 1,
        endpoint = "https://s.example", path = "/p", organization_id = "org", access_id = "acc" },
    }
    rows = { ["qa-a.db"] = {
      { id = 1, events = 2, attempts = 3, possibly_stored = true, accepted = now - 65000,
        deadline = now + 3600000, data = '{"n":1},\n{"n":2}' },
      { id = 4, events = 1, attempts = 0, possibly_stored = false, accepted = now,
        deadline = now - 1, data = '{"n":12345678901234567890}' },
    } }
    letters = {
      ["qa-a.db"] = {
        { id = "00a1000000000001", retry = false, code = "REJECTED", attempts = 1,
          time = 1700000000000, message = "service answered 400: no", trace_id = "t-1",
          event = '{"n":12345678901234567890}' },
        { id = "00a2000000000002", retry = true, code = "HTTP", attempts = 2,
          time = 1700000001000, message = "too\nlarge", event = '{"n":2}' },
      },
      ["qa-b.db"] = {
        { id = "00b3000000000003", retry = false, code = "REJECTED", attempts = 1,
          time = 1700000002000, message = "no (trace t-3)", trace_id = "t-3", event = '{"n":3}' },
      },
    }
    changes, verdicts, per_page = {}, {}, 1
    package.loaded["quickaudience.core"] = {
      spool_files = function(directory)
        if directory ~= "/dir" then
          return nil, "spool: cannot open '" .. directory .. "': no such file or directory",
            "SPOOL"
        end
        return files
      end,
      spool_rows = function(_, name, after) return page(rows[name], after, per_page) end,
      spool_letters = function(_, name, after) return page(letters[name], after, per_page) end,
      spool_verify = function(_, name)
        local verdict = verdicts[name]
        if not verdict then return true end
        return nil, verdict[1], verdict[2]
      end,
      spool_retry = change("retry"), spool_drop = change("drop"),
    }
  end)

  after_each(function()
    package.loaded["quickaudience.core"] = real_core
  end)

  it("shows the files, their owners and what waits in them", function()
    local code, out, err = run("/dir")
    assert.same({ 0, "" }, { code, err })
    assert.truthy(out:find("/dir: 2 files, 5.0 MiB, 3 pending events, 3 dead letters\n", 1, true))
    assert.truthy(out:find("qa%-a%.db%s+pid 4711%s+3%s+1 m %d s%s+2%s+1%.5 KiB%s+"
      .. "https://s%.example/p org\n"), out)
    assert.truthy(out:find("qa%-b%.db%s+none%s+0%s+%-%s+1%s+5%.0 MiB"), out)
    assert.same({ run("/dir", "list") }, { code, out, err })
  end)

  it("shows them as JSON", function()
    local code, out = run("/dir", "--json")
    local shown = cjson.decode(out)
    assert.same({ 0, 3, 3, 2 }, { code, shown.events, shown.dead, #shown.files })
    assert.equal(4711, shown.files[1].owner)
    files = {}
    code, out = run("/dir", "--json")
    assert.equal(0, code)
    assert.truthy(out:find('"files":[]', 1, true), out)
  end)

  it("says that an empty directory is empty", function()
    files = {}
    assert.same({ 0, "/dir: 0 files, 0 B, 0 pending events, 0 dead letters\n", "" },
      { run("/dir") })
    assert.same({ 0, "nothing waits\n", "" }, { run("/dir", "show") })
    assert.same({ 0, "no dead letters\n", "" }, { run("/dir", "dead") })
    assert.same({ 0, "", "" }, { run("/dir", "export") })
    assert.same({ 0, "", "" }, { run("/dir", "verify") })
  end)

  it("shows the chunks that wait, page by page", function()
    local code, out = run("/dir", "show")
    assert.equal(0, code)
    assert.truthy(out:find("qa%-a%.db%s+1%s+2%s+16 B%s+1 m %d s%s+3%?%s+in %d+ [hm]"), out)
    assert.truthy(out:find("qa%-a%.db%s+4%s+1%s+26 B%s+0 s%s+0%s+passed"), out)
    code, out = run("/dir", "show", "--json")
    assert.equal(0, code)
    local first = cjson.decode(out:match("[^\n]+"))
    assert.same({ "qa-a.db", 1, true }, { first.file, first.id, first.possibly_stored })
    assert.is_nil(first.data)
  end)

  it("exports one event a line, as it is", function()
    assert.same({ 0, '{"n":1}\n{"n":2}\n{"n":12345678901234567890}\n', "" },
      { run("/dir", "export") })
    per_page = 100
    assert.same({ 0, '{"n":1}\n{"n":2}\n{"n":12345678901234567890}\n', "" },
      { run("/dir", "export", "--file", "qa-a.db") })
    assert.same({ 0, "", "" }, { run("/dir", "export", "--file", "qa-b.db") })
  end)

  it("verifies, and fails when a file is damaged", function()
    assert.same({ 0, "qa-a.db: ok\nqa-b.db: ok\n", "" }, { run("/dir", "verify") })
    verdicts["qa-b.db"] = { "spool: row 7 is damaged", "SPOOL" }
    assert.same({ 1, "qa-a.db: ok\nqa-b.db: spool: row 7 is damaged\n", "" },
      { run("/dir", "verify") })
    local code, out = run("/dir", "verify", "--json")
    assert.equal(1, code)
    local shown = cjson.decode(out)
    assert.same({ false, true, false }, { shown.ok, shown.files[1].ok, shown.files[2].ok })
    files[2].corrupt = true -- it was found and set aside: no news
    assert.equal(0, (run("/dir", "verify")))
    verdicts["qa-a.db"] = { "spool: no file 'qa-a.db'", "CONFIG" } -- delivered meanwhile
    assert.equal(0, (run("/dir", "verify")))
  end)

  it("passes over what can't be read, and says so", function()
    files[1].error = "spool: cannot read '/dir/qa-a.db': damaged"
    local code, out, err = run("/dir", "export")
    assert.same({ 1, "", "quickaudience spool: spool: cannot read '/dir/qa-a.db': damaged\n" },
      { code, out, err })
  end)

  it("lists dead letters with their reasons", function()
    local code, out = run("/dir", "dead")
    assert.equal(0, code)
    assert.truthy(out:find("00a1000000000001  2023-11-1", 1, true), out)
    assert.truthy(out:find("service answered 400: no  (trace t-1)\n  {\"n\":123", 1, true), out)
    assert.truthy(out:find("2 attempts  to be sent again\n  too?large\n", 1, true), out)
    assert.truthy(out:find("\n  no (trace t-3)\n", 1, true), out)
    code, out = run("/dir", "dead", "list", "--json")
    assert.equal(0, code)
    local first = out:match("[^\n]+")
    assert.truthy(first:find('"event":{"n":12345678901234567890}}', 1, true), first)
    assert.equal("qa-a.db", cjson.decode(first).file)
  end)

  it("retries and drops those that are named, by the beginning of an id", function()
    local code, out = run("/dir", "dead", "retry", "00A1", "00b3000000000003")
    assert.same({ 0, "2 dead letters will be sent again\n" }, { code, out })
    assert.same({ { "retry", "qa-a.db", "00a1000000000001" },
      { "retry", "qa-b.db", "00b3000000000003" } }, changes)
    changes = {}
    assert.same({ 0, "1 dead letter dropped\n", "" }, { run("/dir", "dead", "drop", "00a2") })
    assert.same({ { "drop", "qa-a.db", "00a2000000000002" } }, changes)
    changes = {}
    assert.same({ 0, '{"dropped":1}\n', "" },
      { run("/dir", "dead", "drop", "--all", "--json", "--file", "qa-b.db") })
    assert.same({ { "drop", "qa-b.db", "00b3000000000003" } }, changes)
  end)

  it("changes nothing when one of the ids is wrong", function()
    local code, _, err = run("/dir", "dead", "drop", "00a1", "ffff")
    assert.same({ 1, "quickaudience spool: no dead letter 'ffff'\n" }, { code, err })
    code, _, err = run("/dir", "dead", "drop", "00a")
    assert.same({ 1, "quickaudience spool: '00a' begins the ids of 2 dead letters\n" },
      { code, err })
    assert.same({}, changes)
  end)

  it("says what is wrong with the command line", function()
    for words, part in pairs {
      ["/dir dead drop"] = "dead drop: name ids, or --all",
      ["/dir dead burn"] = "dead: must be list, retry or drop, is 'burn'",
      ["show /dir"] = "the directory comes first: quickaudience spool <directory> show",
      ["/dir show me"] = "show takes no arguments",
      ["/dir burn"] = "must be one of 'list', 'show', 'verify', 'export', 'dead'",
    } do
      local args = {}
      for word in words:gmatch("%S+") do args[#args + 1] = word end
      local code, out, err = run(unpack(args))
      assert.same({ 2, "" }, { code, out })
      assert.truthy(err:find(part, 1, true), err)
    end
  end)

  it("says what can't be opened", function()
    assert.same({ 1, "", "quickaudience spool: spool: cannot open '/none': "
      .. "no such file or directory\n" }, { run("/none") })
    assert.same({ 1, "", "quickaudience spool: --file: no file 'x' in '/dir'\n" },
      { run("/dir", "--file", "x") })
  end)
end)
