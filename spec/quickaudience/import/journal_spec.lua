-- journal_spec.lua
-- Writes journals, cuts them off at every byte, and reads what they still say.
-- Does not know imports.
-- SPDX-License-Identifier: MIT
local command = require "support.command"
local journal = require "quickaudience.import.journal"
local refused = require "quickaudience.import.refused"
local shell = require "support.shell"

describe("a journal", function()
  local folder, path

  before_each(function()
    folder = shell.folder()
    path = folder .. "/j"
  end)

  after_each(function() shell.check("rm -rf " .. folder) end)

  local function stretch(from, to, lines)
    return { from = from, to = to, lines = lines, delivered = lines, refused = 1,
      refused_bytes = to }
  end

  local function open(resume)
    return assert(journal.open(path, "f1", resume))
  end

  it("joins what is done, and keeps apart what lies behind a gap", function()
    local book = open(false)
    assert(book:add(stretch(10, 20, 2)))
    assert(book:add(stretch(30, 40, 4)))
    assert.same({ 0, 20, 2 }, { book.prefix, book:done_from(10) })
    assert(book:add(stretch(0, 10, 1)))
    book:close()
    book = open(true)
    assert.same({ 20, 2, 7, 3, 10 },
      { book.prefix, book.lines, book.delivered, book.refused, book.refused_bytes })
    assert.same({ 30, 40, 4 }, { book:next_done(20), book:done_from(30) })
    assert.is_nil(book:done_from(20))
    assert.is_nil(book:next_done(30))
    book:close()
    book = open(true)
    assert.same({ 20, 7, 40 }, { book.prefix, book.delivered, (book:done_from(30)) })
    book:close()
  end)

  it("never takes the place of what is no file, as a device or a pipe", function()
    shell.check("mkfifo " .. path)
    for _, resume in ipairs { true, false } do
      assert.same({ nil, path .. ": is no regular file" }, { journal.open(path, "f1", resume) })
    end
    assert.equal("p", shell.check("ls -l " .. path):sub(1, 1))
  end)

  it("is read as far as it goes, wherever a kill cut it off", function()
    local book = open(false)
    assert(book:add(stretch(0, 10, 1)))
    assert(book:add(stretch(10, 20, 2)))
    book:close()
    local text = command.read_file(path)
    local head = #text:match("^[^\n]*\n")
    for length = head, #text do
      command.write_file(path, text:sub(1, length))
      book = open(true)
      assert.truthy(book.prefix % 10 == 0 and book.prefix <= 20, book.prefix)
      book:close()
    end
    assert.equal(20, book.prefix)
  end)

  it("stays small however much is noted", function()
    local book = open(false)
    for i = 1, 9000 do assert(book:add(stretch(i - 1, i, i))) end
    book:close()
    assert.truthy(#command.read_file(path) < 300000)
    assert.equal(9000, open(true).prefix)
  end)

  it("of another input, or none at all, is refused", function()
    open(false):close()
    local found, message = journal.open(path, "f2", true)
    assert.is_nil(found)
    assert.truthy(message:find("belongs to another input", 1, true), message)
    for text, part in pairs { ["hello\n"] = "is no journal",
      ["quickaudience import journal 1 f1\n0 1 x\n"] = "is damaged: '0 1 x'" } do
      command.write_file(path, text)
      found, message = journal.open(path, "f1", true)
      assert.is_nil(found)
      assert.truthy(message:find(part, 1, true), message)
    end
    found, message = journal.open(folder .. "/no/j", "f1", false)
    assert.is_nil(found)
    assert.truthy(message:find("No such file", 1, true), message)
    assert.is_true(journal.exists(path))
    assert.is_false(journal.exists(folder .. "/other"))
  end)
end)

describe("the file of refused lines", function()
  it("is cut to what the journal knows, and made only when needed", function()
    local folder = shell.folder()
    local path = folder .. "/r"
    local book = assert(refused.open(path, 0))
    assert.is_true(book:add {})
    assert.equal(0, refused.size(path))
    assert.is_nil(command.read_file(path))
    assert(book:add { { line = 1, reason = "bad", text = "x" } })
    local first = book.bytes
    assert(book:add { { line = 2, reason = "bad", text = "y" } })
    book:close()
    assert.equal(book.bytes, refused.size(path))
    book = assert(refused.open(path, first))
    assert.equal(first, refused.size(path))
    assert(book:add { { line = 3, reason = "worse" } })
    book:close()
    local text = command.read_file(path)
    assert.truthy(text:find('"line":1', 1, true) and text:find('"line":3', 1, true), text)
    assert.is_nil(text:find('"line":2', 1, true))
    shell.check("rm -rf " .. folder)
  end)
end)
