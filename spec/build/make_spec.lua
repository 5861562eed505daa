-- make_spec.lua
-- Checks what make builds and prints, apart from what the code does.
-- Does not know the sources.
-- SPDX-License-Identifier: MIT
local shell = require "support.shell"

-- A make of its own, not a part of the one that runs this spec.
local function make(arguments)
  return shell.run("env -u MAKEFLAGS -u MAKELEVEL make " .. arguments)
end

local module = package.cpath:match("[^;]+/build/[^;]+"):gsub("%?", "quickaudience/core")

describe("make env", function()
  for _, version in ipairs { "5.1", "5.2", "5.3", "5.4", "luajit" } do
    it("prints one line for " .. version .. ", with absolute paths", function()
      local output = make("env LUA_VERSION=" .. version)
      local line = "^export LUA_PATH='([^']+);;' LUA_CPATH='([^']+);;'[^\n]*\n$"
      local path, cpath = output:match(line)
      assert.equal("/", path:sub(1, 1))
      assert.truthy(path:find("/lua/?.lua;", 1, true) and path:find("/lua/?/init.lua", 1, true))
      assert.truthy(cpath:match("^/.*/build/" .. version:gsub("%.", "%%.") .. "/%?%.so$"))
    end)
  end

  it("overrides the variables that a Lua reads first", function()
    local output = shell.check("LUA_PATH_5_4=elsewhere LUA_CPATH_5_4=elsewhere "
      .. "env -u MAKEFLAGS -u MAKELEVEL make env LUA_VERSION=5.4")
    assert.truthy(output:find(" LUA_PATH_5_4='/", 1, true))
    assert.truthy(output:find(" LUA_CPATH_5_4='/", 1, true))
  end)

  it("refuses a Lua it does not know", function()
    local output, status = make("env LUA_VERSION=5.5")
    assert.not_equal(0, status)
    assert.truthy(output:find("LUA_VERSION=5.5: not one of", 1, true))
  end)
end)

describe("core.so", function()
  it("exports its open function and nothing else", function()
    local names = {}
    for _, line in ipairs(shell.lines("nm -D --defined-only " .. module)) do
      names[#names + 1] = line:match("%S+$")
    end
    assert.same({ "luaopen_quickaudience_core" }, names)
  end)

  it("stays mapped when the Lua state closes", function()
    assert.truthy(shell.check("readelf -d " .. module):find("NODELETE"))
  end)

  it("does not bring a Lua of its own", function()
    assert.falsy(shell.check("readelf -d " .. module):find("NEEDED[^\n]*liblua"))
  end)
end)
