-- rockspec_spec.lua
-- Holds the rockspec against the disk, and the version to one place.
-- Does not know how LuaRocks builds; install_spec.lua does.
-- SPDX-License-Identifier: MIT
local shell = require "support.shell"

local function rockspec()
  local values = {}
  local chunk = assert(loadfile("quickaudience-scm-1.rockspec", "t", values))
  if setfenv then setfenv(chunk, values) end -- Lua 5.1 takes no third argument above
  chunk()
  return values
end

local function module_name(path)
  return (path:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", "."))
end

describe("rockspec", function()
  local spec = rockspec()

  it("lists every C source", function()
    local sources = {}
    for _, source in ipairs(spec.build.modules["quickaudience.core"].sources) do
      sources[#sources + 1] = source
    end
    assert.same(shell.lines("find src -name '*.c' | LC_ALL=C sort"), sources)
  end)

  it("lists every Lua module, under the name by which it is required", function()
    local expected, listed = {}, {}
    for _, path in ipairs(shell.lines("find lua -name '*.lua'")) do
      expected[module_name(path)] = path
    end
    for name, path in pairs(spec.build.modules) do
      if type(path) == "string" then listed[name] = path end
    end
    assert.same(expected, listed)
  end)

  it("installs a command that exists and can be executed", function()
    local command = spec.build.install.bin.quickaudience
    assert.equal(0, select(2, shell.run("test -x " .. command)))
  end)

  it("has the name of its file", function()
    assert.equal("quickaudience-scm-1", spec.package .. "-" .. spec.version)
  end)
end)

describe("version", function()
  local version = require "quickaudience.version"

  it("stands in one source file", function()
    local holders = shell.lines("grep -rlF " .. shell.quote('"' .. version .. '"') .. " lua src")
    assert.same({ "lua/quickaudience/version.lua" }, holders)
  end)

  it("heads the change log", function()
    local file = assert(io.open("docs/CHANGELOG.md"))
    local heading = file:read("*a"):match("\n## ([^\n]+)")
    file:close()
    assert.equal(version, heading:match("^[%d.]+"))
  end)
end)
