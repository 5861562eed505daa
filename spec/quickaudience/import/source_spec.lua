-- source_spec.lua
-- Reads files and packed files whole, in parts and from the middle.
-- Does not know lines.
-- SPDX-License-Identifier: MIT
local command = require "support.command"
local shell = require "support.shell"
local source = require "quickaudience.import.source"

describe("a source", function()
  local folder, text, path

  setup(function()
    folder = shell.folder()
    local parts = {}
    for i = 1, 40000 do parts[i] = "line " .. i .. "\n" end
    text = table.concat(parts)
    path = command.write_file(folder .. "/a", text)
    shell.check("cd " .. folder .. " && gzip -k a && cat a.gz a.gz >two.gz "
      .. "&& head -c 1000 a.gz >cut.gz && printf '\\037\\213nonsense' >bad.gz "
      .. "&& cat a.gz >zeros.gz && head -c 600 /dev/zero >>zeros.gz")
  end)

  teardown(function() shell.check("rm -rf " .. folder) end)

  local function read(from)
    local parts = {}
    local block, message = from:read()
    while block do
      parts[#parts + 1] = block
      block, message = from:read()
    end
    from:close()
    return table.concat(parts), message
  end

  local function open(name)
    return assert(source.open(name and folder .. "/" .. name or path))
  end

  it("gives all bytes, unpacked where they are packed", function()
    assert.truthy(read(open()) == text)
    assert.truthy(read(open("a.gz")) == text)
    assert.truthy(read(open("two.gz")) == text .. text)
    assert.truthy(read(open("zeros.gz")) == text)
    local from = assert(source.open("-", assert(io.open(folder .. "/a.gz", "rb"))))
    assert.is_nil(from.size)
    assert.truthy(read(from) == text)
  end)

  it("goes on anywhere, whatever was looked at before", function()
    for _, name in ipairs { "a", "a.gz", "two.gz" } do
      for _, offset in ipairs { 0, 1, 5000, 70000, #text - 1 } do
        local from = open(name)
        from:fingerprint()
        assert.is_true(from:skip_to(offset))
        local rest = text:sub(offset + 1) .. (name == "two.gz" and text or "")
        assert.truthy(read(from) == rest, name .. offset)
      end
      assert.same({ nil, "is shorter than it was" }, { open(name):skip_to(#text * 3) })
    end
  end)

  it("has a fingerprint of its beginning", function()
    local print = open():fingerprint()
    assert.equal(print, open():fingerprint())
    assert.equal(print, open("a.gz"):fingerprint())
    command.write_file(folder .. "/b", "x" .. text)
    assert.not_equal(print, open("b"):fingerprint())
    command.write_file(folder .. "/empty", "")
    assert.equal("7.0", open("empty"):fingerprint())
  end)

  it("says what is wrong", function()
    local _, message = read(open("cut.gz"))
    assert.equal("gzip: the file is cut off", message)
    _, message = read(open("bad.gz"))
    assert.equal("gzip: the file is damaged; 'gzip -t' tells more", message)
    assert.same({ nil, "cannot be opened: No such file or directory" },
      { source.open(folder .. "/none") })
    local loaded, preload = package.loaded.zlib, package.preload.zlib
    package.loaded.zlib = nil
    package.preload.zlib = function() error("gone") end
    _, message = source.open(folder .. "/a.gz")
    package.loaded.zlib, package.preload.zlib = loaded, preload
    assert.truthy(message:find("apt-get install lua-zlib", 1, true), message)
  end)
end)
