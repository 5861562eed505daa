-- import_spec.lua
-- Kills an import fifty times, plain and gzipped, and counts what arrived.
-- Does not know the journal.
-- SPDX-License-Identifier: MIT
local command = require "support.command"
local sandbox = require "support.sandbox"
local shell = require "support.shell"

local TOTAL, KILLS, BATCH, STRETCHES = 30000, 50, 50, 16

describe("an import that is killed fifty times", function()
  local box, folder

  setup(function()
    box = sandbox.start()
    folder = shell.folder()
  end)

  teardown(function()
    box:stop()
    shell.check("rm -rf " .. folder)
  end)

  for _, packed in ipairs { false, true } do
    it("has every line in the end" .. (packed and ", from gzip" or ""), function()
      box:reset()
      local path = command.write_file(folder .. "/a.ndjson", command.events(TOTAL))
      if packed then
        shell.check("gzip -f " .. path)
        path = path .. ".gz"
      end
      local counts = command.import_with_kills(box, path, TOTAL, KILLS,
        { "--batch-events", tostring(BATCH) })
      assert.equal(TOTAL, counts.distinct)
      assert.truthy(counts.valid - TOTAL <= KILLS * STRETCHES * BATCH, counts.valid)
    end)
  end
end)
