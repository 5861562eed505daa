-- import_spec.lua
-- Checks import's command line, and dry runs, which need no service.
-- Does not know delivery.
-- SPDX-License-Identifier: MIT
local cjson = require "cjson"
local command = require "support.command"
local shell = require "support.shell"

describe("the command import", function()
  local folder

  before_each(function() folder = shell.folder() end)
  after_each(function() shell.check("rm -rf " .. folder) end)

  local function file(name, text)
    return command.write_file(folder .. "/" .. name, text)
  end

  it("has help that names everything", function()
    local code, out = command.run { "import", "--help" }
    assert.equal(0, code)
    for _, word in ipairs { "--resume", "--rate", "--dry-run", "--column", "--journal", "--refused",
      "--access-secret-file", "--batch-events", "--spool-sync", "Exit codes" } do
      assert.truthy(out:find(word, 1, true), word)
    end
    assert.is_nil(out:find("--access-secret ", 1, true))
  end)

  it("says what is wrong with the command line", function()
    local path = file("a.ndjson", "")
    file("b.ndjson.journal", "")
    for words, part in pairs {
      [""] = "missing argument 'files'",
      ["- --resume"] = "needs --journal",
      [path .. " --resume --restart"] = "contradict",
      [path .. " --resume --dry-run"] = "contradict",
      [path .. " " .. path .. " --journal x"] = "go with one file",
      [path .. " --rate 0"] = "--rate: expected events per second",
      [path .. " --delimiter ab"] = "--delimiter: expected one character",
      [path .. " --set nothing=1"] = "--set: unknown field 'nothing'",
      [path .. " --column a=customerid"] = "--column: unknown field 'customerid'; did you mean "
        .. "'customer_id'?",
      [path .. " --format xml"] = "must be one of",
      [path .. " --resum"] = "did you mean '--resume'",
      [path] = "config.endpoint: missing",
      [folder .. "/b.ndjson"] = "--restart sends everything again",
    } do
      local args = { "import" }
      for word in words:gmatch("%S+") do args[#args + 1] = word end
      local code, out, err = command.run(args)
      assert.same({ 2, "" }, { code, out }, words .. err)
      assert.truthy(err:find(part, 1, true), err)
    end
  end)

  it("checks a file in a dry run", function()
    local path = file("a.ndjson", command.events(250) .. '{"customer_id":"a"}\n')
    local code, out = command.run { "import", path, "--dry-run", "--json" }
    assert.equal(1, code)
    local result = cjson.decode(out)
    assert.same({ 251, 250, 1, false },
      { result.lines, result.delivered, result.refused, result.ok })
    assert.equal(0, (command.run { "import", path, "--dry-run", "--set", "event_code=visit" }))
  end)

  it("reads TSV without a header", function()
    local path = file("a.tsv", "u1\tvisit\nu2\tvisit\n")
    local args = { "import", path, "--dry-run", "--no-header", "--column", "1=customer_id",
      "--column", "2=event_code" }
    local code, _, err = command.run(args)
    assert.same({ 0, "" }, { code, err })
    args[#args + 1] = "--column"
    args[#args + 1] = "9=attributes.x"
    code, _, err = command.run(args)
    assert.equal(1, code)
    assert.truthy(err:find("there is no column '9'", 1, true), err)
  end)

  it("says when a file cannot be read", function()
    local code, _, err = command.run { "import", folder .. "/none", "--dry-run" }
    assert.equal(1, code)
    assert.equal("quickaudience import: " .. folder .. "/none: cannot be opened: No such file or "
      .. "directory\n", err)
    code, _, err = command.run { "import", folder, "--dry-run" }
    assert.equal(1, code)
    assert.truthy(err:find("cannot be read", 1, true), err)
  end)
end)
