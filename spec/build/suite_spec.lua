-- suite_spec.lua
-- Checks that no way of failing is counted as success by the scripts that count.
-- Does not know the suites that they run.
-- SPDX-License-Identifier: MIT
local shell = require "support.shell"

describe("counting results", function()
  local folder, here

  setup(function()
    folder = shell.folder()
    here = shell.lines("pwd")[1]
  end)

  teardown(function()
    shell.check("rm -rf " .. folder)
  end)

  -- The last line of what the script prints, and its exit status.
  local function suite(arguments)
    local script = here .. "/.ci/suite "
    local output, status = shell.run("cd " .. folder .. " && " .. script .. arguments)
    return output:match("([^\n]*)\n$"), status
  end

  local function tap(lines)
    return suite("name printf " .. shell.quote(lines))
  end

  it("adds up a run that passed", function()
    assert.same({ "name: 2 passed, 0 failed", 0 }, { tap "ok 1 - a\nok 2 - b\n1..2\n" })
  end)

  it("counts what was skipped apart, however it is written", function()
    assert.same({ "name: 1 passed, 0 failed, 2 skipped", 0 },
      { tap "1..3\nok 1 - a\nok 2 - # SKIP b\nnot ok 3 # SKIP c\n" })
  end)

  it("fails a run with a failure", function()
    assert.same({ "name: 1 passed, 1 failed", 1 }, { tap "ok 1 - a\nnot ok 2 - b\n1..2\n" })
  end)

  it("fails a run that stops before its end", function()
    assert.same({ "name: 1 passed, 1 failed (did not finish)", 1 }, { tap "1..2\nok 1 - a\n" })
    assert.same({ "name: 1 passed, 1 failed (did not finish)", 1 }, { tap "ok 1 - a\n" })
    assert.same({ "name: 0 passed, 1 failed (did not finish)", 1 }, { suite "name true" })
  end)

  it("fails a run whose exit status says so", function()
    assert.same({ "name: 1 passed, 1 failed (exit status 3)", 1 },
      { suite "name sh -c 'echo 1..1; echo ok 1; exit 3'" })
  end)

  it("fails a run that hangs", function()
    local line, status = shell.run("cd " .. folder .. " && SUITE_TIMEOUT=0.1 "
      .. here .. "/.ci/suite name tail -f /dev/null")
    assert.same({ "name: 0 passed, 1 failed (timed out)\n", 1 }, { line, status })
  end)

  it("fails a command that is not there", function()
    assert.same({ "name: 0 passed, 1 failed", 1 }, { suite "--check name no-such-command" })
  end)

  it("takes a check by its exit status", function()
    assert.same({ "name: 1 passed, 0 failed", 0 }, { suite "--check name true" })
    assert.same({ "name: 0 passed, 1 failed", 1 }, { suite "--check name false" })
  end)

  it("sums the targets, and counts one that cannot be built", function()
    local makefile = assert(io.open(folder .. "/Makefile", "w"))
    makefile:write("good:\n\t" .. here .. "/.ci/suite --check good true\nbroken:\n\tfalse\n")
    makefile:close()
    local run = "cd " .. folder .. " && env -u MAKEFLAGS MAKE=make " .. here .. "/.ci/test "
    local output, status = shell.run(run .. "good broken")
    assert.same({ "1 passed, 1 failed", 1 }, { output:match("([^\n]*)\n$"), status })
    output, status = shell.run(run .. "good")
    assert.same({ "1 passed, 0 failed", 0 }, { output:match("([^\n]*)\n$"), status })
    output, status = shell.run(run)
    assert.same({ "0 passed, 0 failed", 1 }, { output:match("([^\n]*)\n$"), status })
  end)
end)
