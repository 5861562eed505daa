-- job_spec.lua
-- Runs jobs that only check, over files of every kind: how lines are counted and stretches end.
-- Does not know the service; spec/integration/cli_spec.lua delivers.
-- SPDX-License-Identifier: MIT
local command = require "support.command"
local job = require "quickaudience.import.job"
local shell = require "support.shell"

describe("a job", function()
  local folder

  before_each(function() folder = shell.folder() end)
  after_each(function() shell.check("rm -rf " .. folder) end)

  local function run(text, more)
    local options = { path = command.write_file(folder .. "/in", text), format = "ndjson",
      delimiter = ",", header = true, columns = {}, resume = false,
      on_progress = function() end, on_wait = function() end }
    for name, value in pairs(more or {}) do options[name] = value end
    local one = job.new(options)
    local ok, message = one:open()
    if ok then ok, message = one:run(1) end
    one:close()
    return one, ok, message
  end

  it("counts lines, events and refusals", function()
    local one, ok = run(command.events(450) .. "x\n\n")
    assert.is_true(ok)
    assert.same({ 450, 1, 452 }, { one.delivered, one.refused_count, one.lines_done })
    assert.equal(451, one.first_refused[1].line)
  end)

  it("takes an empty file", function()
    local one, ok = run("")
    assert.same({ true, 0, 0 }, { ok, one.delivered, one.lines_done })
    local _, failed, message = run("", { format = "csv" })
    assert.same({ nil, "is empty" }, { failed, message })
  end)

  it("goes on after a journal's stretches", function()
    local path = folder .. "/j"
    local one = run(command.events(1000), { journal = path, refused = folder .. "/r" })
    assert.equal(1000, one.delivered)
    local text = command.read_file(path)
    -- Two stretches in the middle are missing, as after a kill.
    local kept, number = {}, 0
    for line in text:gmatch("[^\n]+\n") do
      number = number + 1
      if number ~= 4 and number ~= 5 then kept[#kept + 1] = line end
    end
    command.write_file(path, table.concat(kept))
    local again, ok, message = run(command.events(1000), { journal = path, resume = true,
      refused = folder .. "/r" })
    assert.same({ true, nil }, { ok, message })
    assert.equal(1000, again.delivered)
    again = run(command.events(1000) .. command.events(3), { journal = path, resume = true })
    assert.equal(1003, again.delivered)
  end)

  it("says when the file is shorter than it was", function()
    local path = folder .. "/j"
    run(command.events(1000), { journal = path })
    local _, ok, message = run(command.events(500), { journal = path, resume = true })
    assert.same({ nil, "is shorter than it was" }, { ok, message })
  end)
end)
