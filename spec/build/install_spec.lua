-- install_spec.lua
-- Installs the rock into a fresh tree, as a user without network does, and uses it elsewhere.
-- Does not know what the library can do.
-- SPDX-License-Identifier: MIT
local shell = require "support.shell"

local interpreter = arg[-1]
local lua_version = _VERSION:match("[%d.]+")

describe("luarocks make", function()
  local folder

  -- LuaRocks leaves objects beside the sources, so it works on a copy.
  setup(function()
    folder = shell.folder()
    shell.check("cp -R src lua docs quickaudience-scm-1.rockspec " .. folder)
    shell.check("cd " .. folder .. " && luarocks --lua-version " .. lua_version
      .. " make --deps-mode=none --tree " .. folder .. "/tree CFLAGS='-O0 -fPIC'")
  end)

  teardown(function()
    shell.check("rm -rf " .. folder)
  end)

  local function elsewhere(command)
    local share = folder .. "/tree/share/lua/" .. lua_version
    local lib = folder .. "/tree/lib/lua/" .. lua_version
    return shell.check("cd / && LUA_PATH='" .. share .. "/?.lua;" .. share .. "/?/init.lua;;' "
      .. "LUA_CPATH='" .. lib .. "/?.so;;' " .. command)
  end

  it("installs a module that works from another folder", function()
    local program = 'print(require "quickaudience"._VERSION)'
    local output = elsewhere(interpreter .. " -e " .. shell.quote(program))
    assert.equal(require "quickaudience.version" .. "\n", output)
  end)

  it("installs a command that works from another folder", function()
    local output = elsewhere(folder .. "/tree/bin/quickaudience --help")
    assert.truthy(output:find("sandbox", 1, true))
  end)
end)

describe("make install", function()
  it("installs a command that runs under the Lua it was built for", function()
    local folder = shell.folder()
    local version = rawget(_G, "jit") and "luajit" or lua_version
    shell.check("env -u MAKEFLAGS make install LUA_VERSION=" .. version .. " PREFIX=" .. folder)
    local bare = "cd / && env -u LUA_PATH -u LUA_CPATH -u LUA_PATH_5_2 -u LUA_CPATH_5_2 "
      .. "-u LUA_PATH_5_3 -u LUA_CPATH_5_3 -u LUA_PATH_5_4 -u LUA_CPATH_5_4 "
    local output = shell.check(bare .. "LUA_INIT='io.write(_VERSION, \" \")' " .. folder
      .. "/bin/quickaudience --version")
    assert.equal(_VERSION .. " quickaudience " .. require "quickaudience.version" .. "\n", output)
    -- With the C module, which no Lua finds below another prefix by itself.
    output = shell.check(bare .. folder .. "/bin/quickaudience send --dry-run --customer-id u "
      .. "--event-code e")
    assert.truthy(output:find('"customerId":"u"', 1, true), output)
    shell.check("env -u MAKEFLAGS make uninstall LUA_VERSION=" .. version .. " PREFIX=" .. folder)
    assert.equal("", shell.check("find " .. folder .. " -type f"))
    shell.check("rm -rf " .. folder)
  end)
end)
