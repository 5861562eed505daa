-- install_spec.lua
-- Installs the rock into a fresh tree, as a user without network does, and uses it elsewhere.
-- Does not know what the library can do.
-- SPDX-License-Identifier: MIT
local shell = require "spec.support.shell"

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

  local function installed(command)
    local tree = folder .. "/tree"
    return shell.check("cd / && LUA_PATH='" .. tree .. "/share/lua/" .. lua_version .. "/?.lua;"
      .. tree .. "/share/lua/" .. lua_version .. "/?/init.lua;;' LUA_CPATH='"
      .. tree .. "/lib/lua/" .. lua_version .. "/?.so;;' " .. command)
  end

  it("installs a module that works from another folder", function()
    local output = installed(interpreter .. " -e "
      .. shell.quote 'print(require "quickaudience"._VERSION, package.loaded["quickaudience.core"])')
    assert.equal(require "quickaudience.version", output:match("^%S+"))
  end)

  it("installs a command that works from another folder", function()
    assert.truthy(installed(folder .. "/tree/bin/quickaudience --help"):find("sandbox", 1, true))
  end)
end)
