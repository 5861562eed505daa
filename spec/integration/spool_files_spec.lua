-- spool_files_spec.lua
-- Checks what lies in a spool's directory: whose it is, who may read it, who sends it, who looks.
-- Does not know what survives a kill (spool_spec.lua), nor how a file is laid out.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local quickaudience = require "quickaudience"
local sandboxes = require "spec.support.sandbox"
local shell = require "spec.support.shell"
local socket = require "socket"
local spool_crash = require "spec.support.spool_crash"

local AWAY = { { status = 503, times = "forever" } }
local PAGE = 16384

describe("a spool's directory", function()
  local world, clients

  setup(function() world = spool_crash.start() end)
  teardown(function() world:stop() end)
  before_each(function()
    world:again()
    world.sandbox:clear_faults()
    clients = {}
  end)
  after_each(function()
    for _, client in ipairs(clients) do client:close(0) end
    os.execute("rm -rf " .. shell.quote(world.directory))
  end)

  local function new_client(changes)
    local settings = {}
    for name, value in pairs(world.settings) do settings[name] = value end
    for name, value in pairs(changes or {}) do settings[name] = value end
    local client = assert(quickaudience.new(settings))
    clients[#clients + 1] = client
    return client
  end

  local function report(client, prefix, count, attributes)
    for i = 1, count do
      local event = { customer_id = prefix .. i, event_code = "pay_order", attributes = attributes }
      while not client:report(event) do client:flush_to_disk(0.01) end
    end
  end

  -- What the client reports is on disk, and stays there when it is closed.
  local function leave(changes, prefix, count, attributes)
    world.sandbox:faults(AWAY)
    local client = new_client(changes)
    report(client, prefix, count, attributes)
    assert(client:flush_to_disk(10))
    local _, _, _, kept = client:close(0)
    assert.equal(count, kept)
    world.sandbox:clear_faults()
  end

  local function wait_until(what, done)
    local limit = socket.gettime() + 20
    while not done() do
      assert.truthy(socket.gettime() < limit, what)
      socket.select(nil, nil, 0.01)
    end
  end

  local function command(arguments)
    return shell.run(table.concat({ sandboxes.command(), "spool", shell.quote(world.directory),
      arguments }, " "))
  end

  it("and its files are the owner's alone, whatever the umask is", function()
    world.sandbox:faults(AWAY)
    local child = ([[umask 0; exec timeout -s KILL 20 %s spec/support/spool_child.lua %s u 250]])
      :format(sandboxes.lua(), shell.quote(world.file))
    local pipe = assert(io.popen(child .. " 2>&1"))
    assert.equal("saved 250", pipe:read("*l"))
    local modes = shell.lines("stat -c '%a %n' " .. shell.quote(world.directory) .. "/*")
    local directory = shell.lines("stat -c %a " .. shell.quote(world.directory))[1]
    world.sandbox:clear_faults()
    pipe:read("*a")
    pipe:close()
    assert.equal("700", directory)
    assert.equal(4, #modes) -- database, log, shared memory, lock
    for _, line in ipairs(modes) do assert.truthy(line:find("^600 "), line) end
  end)

  it("holds no credentials, in no file of it", function()
    world.sandbox:faults { reject_customer_ids = { "u-7" } }
    local client = new_client()
    report(client, "u-", 20)
    assert(client:flush(10))
    world.sandbox:faults(AWAY)
    report(client, "v-", 500)
    assert(client:flush_to_disk(5))
    local function occurs(text)
      local _, status = shell.run(("grep -raF -- %s %s"):format(shell.quote(text),
        shell.quote(world.directory)))
      return status == 0
    end
    assert.is_true(occurs("v-500"))
    assert.is_true(occurs("u-7")) -- the dead letter
    assert.is_false(occurs(world.settings.access_secret))
    assert.is_false(occurs(world.settings.access_key))
    assert.is_false(occurs(world.settings.app_id))
  end)

  it("may be another endpoint's or organization's as well, whose events are never sent", function()
    local others = {
      { organization_id = "another-organization" },
      { access_id = "another-access-id" },
      { path = "/another/path" },
      { endpoint = world.settings.endpoint:gsub("127%.0%.0%.1", "localhost"),
        allow_insecure_http = true },
    }
    for i, other in ipairs(others) do leave(other, "other-" .. i .. "-", 30) end
    leave(nil, "own-", 40) -- the youngest: who adopts it has passed over the others
    local client = new_client()
    wait_until("nothing is adopted", function()
      return client:stats().spool.adopted > 0 and client:stats().pending.total == 0
    end)
    assert.equal(40, client:stats().spool.adopted)
    assert(client:close(5))
    assert.equal(40, world.sandbox:all().events.distinct)
    for _, kept in ipairs(world.sandbox:events()) do
      assert.truthy(kept.event.customerId:find("^own%-"), kept.event.customerId)
    end
    local _, listed = world:files():gsub("%.db\n", "")
    assert.equal(#others, listed)
    client = new_client(others[4]) -- the same service by another name: its own are still there
    wait_until("its own are not adopted", function()
      return client:stats().spool.adopted == 30 and client:stats().pending.total == 0
    end)
    assert(client:close(5))
    assert.equal(70, world.sandbox:all().events.distinct)
  end)

  it("gives what can be read of a damaged file, names it, and delivers the rest", function()
    leave({ queue_events = 10000 }, "old-", 4000, { text = ("x"):rep(400) })
    local path = shell.lines("ls " .. shell.quote(world.directory) .. "/*.db")[1]
    local pages = tonumber(shell.lines("stat -c %s " .. shell.quote(path))[1]) / PAGE
    assert.truthy(pages > 40, pages)
    shell.check(("dd if=/dev/urandom of=%s bs=%d seek=%d count=3 conv=notrunc"):format(
      shell.quote(path), PAGE, math.floor(pages / 2)))
    local client = new_client()
    report(client, "new-", 100)
    wait_until("the damaged file is not worked off", function()
      local stats = client:stats()
      return stats.spool.corrupt_files == 1 and stats.spool.adopted > 0
        and stats.pending.total == 0
    end)
    local stats = client:stats()
    local name = stats.spool.corrupt_name
    assert.truthy(name:find("%.corrupt$"), name)
    assert.truthy(("\n" .. world:files()):find("\n" .. name .. "\n", 1, true))
    assert.equal(stats.accepted, stats.delivered + stats.dropped.damaged)
    assert.truthy(stats.delivered >= 100 + 4000 / 2, stats.delivered)
    assert.equal("ok", stats.spool.state)
    assert(client:close(5))
    local seen, new = world.sandbox:all().events.distinct, 0
    for _, kept in ipairs(world.sandbox:events()) do
      new = new + (kept.event.customerId:find("^new%-") and 1 or 0)
    end
    assert.same({ stats.delivered, 100 }, { seen, new })
    local output, status = command("verify")
    assert.equal(0, status) -- it is known, and set aside
    assert.truthy(output:find(name .. ": set aside", 1, true), output)
  end)

  it("is shown by the command while its owner works", function()
    world.sandbox:faults(AWAY)
    local client = new_client()
    report(client, "u-", 500)
    assert(client:flush_to_disk(10))
    local output, status = command("--json")
    local shown = cjson.decode(output)
    assert.same({ 0, 500, 0, 1 }, { status, shown.events, shown.dead, #shown.files })
    assert.truthy(shown.files[1].owner > 0)
    assert.equal(world.settings.organization_id, shown.files[1].organization_id)
    output, status = command("show --json")
    local events = 0
    for line in output:gmatch("[^\n]+") do events = events + cjson.decode(line).events end
    assert.same({ 0, 500 }, { status, events })
    output, status = command("verify")
    assert.same({ 0, shown.files[1].name .. ": ok\n" }, { status, output })
    output, status = command("export")
    local names = {}
    for line in output:gmatch("[^\n]+") do
      names[#names + 1] = cjson.decode(line).customerId:match("%d+")
    end
    assert.same({ 0, 500, "1", "500" }, { status, #names, names[1], names[500] })
    assert.equal(500, client:stats().pending.total)
    world.sandbox:clear_faults()
    assert(client:flush(10))
    assert.equal(500, world.sandbox:all().events.distinct)
  end)

  it("has its dead letters listed, sent again and dropped while its owner works", function()
    world.sandbox:faults { reject_customer_ids = { "u-3", "u-7" } }
    local client = new_client()
    report(client, "u-", 20)
    assert(client:flush(10))
    assert(client:flush_to_disk(10))
    local listed = command("dead list --json")
    assert.equal(2, select(2, listed:gsub("\n", "")))
    local ids = {}
    for line in listed:gmatch("[^\n]+") do
      local letter = cjson.decode(line)
      assert.equal("REJECTED", letter.code)
      assert.truthy(letter.attempts >= 1)
      assert.truthy(letter.message:find("CUSTOMER_REJECTED", 1, true), letter.message)
      ids[letter.event.customerId] = letter.id
    end
    assert.truthy(ids["u-3"] and ids["u-7"])
    assert.equal("1 dead letter dropped\n", (command("dead drop " .. ids["u-3"])))
    world.sandbox:clear_faults()
    world.sandbox:faults { reject_customer_ids = {} }
    assert.equal("1 dead letter will be sent again\n", (command("dead retry " .. ids["u-7"])))
    wait_until("it isn't sent again", function()
      return world.sandbox:all().events.distinct == 19
    end)
    wait_until("it stays a dead letter", function()
      return command("dead list") == "no dead letters\n"
    end)
    assert(client:close(5))
    assert.equal("", world:files())
  end)
end)

describe("a spool with spool_sync = \"normal\"", function()
  local world

  setup(function() world = spool_crash.start { spool_sync = "normal" } end)
  teardown(function() world:stop() end)

  it("survives being killed as well", function()
    world:again()
    for _ = 1, 4 do assert.equal("", world:kill({ math.random(30, 250) / 1000 }, 100000)) end
    world:finish()
    local missing, twice = world:look()
    assert.equal("", missing)
    assert.truthy(twice <= world.kills * world.IN_FLIGHT, twice)
    assert.equal("", world:files())
  end)
end)
