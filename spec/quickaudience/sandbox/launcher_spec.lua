--- launcher_spec.lua
-- Checks which nginx is found, with programs that only pretend to be one.
-- Does not know how nginx is run: spec/integration/sandbox_spec.lua does.
-- SPDX-License-Identifier: MIT

local launcher = require "quickaudience.sandbox.launcher"

describe("sandbox.launcher.find", function()
  local dir

  before_each(function()
    dir = os.tmpname()
    os.remove(dir)
    os.execute("mkdir " .. dir)
  end)

  after_each(function() os.execute("rm -rf " .. dir) end)

  local function program(version, arguments)
    local path = dir .. "/pretender"
    local file = assert(io.open(path, "w"))
    file:write("#!/bin/sh\necho 'nginx version: " .. version .. "' >&2\n"
      .. "echo 'configure arguments: " .. arguments .. "' >&2\n")
    file:close()
    os.execute("chmod +x " .. path)
    return path
  end

  local function module(name)
    os.execute("mkdir -p " .. dir .. "/modules; : >" .. dir .. "/modules/" .. name .. ".so")
    return dir .. "/modules/" .. name .. ".so"
  end

  it("takes OpenResty, which has Lua compiled in", function()
    local path = program("openresty/1.21.4.1", "--prefix=/usr/local/openresty/nginx "
      .. "--add-module=../ndk-0.3.2 --add-module=../ngx_lua-0.10.21 --with-stream")
    local found = launcher.find(path)
    assert.same({ path, {}, "-e stderr" }, { found.program, found.modules, found.arguments })
  end)

  it("takes nginx with the modules beside it, and loads them in their order", function()
    local lua = module "ngx_http_lua_module"
    local path = program("nginx/1.22.1", "--modules-path=" .. dir .. "/modules --with-compat")
    assert.same({ lua }, launcher.find(path).modules)
    local ndk = module "ndk_http_module"
    assert.same({ ndk, lua }, launcher.find(path).modules)
    path = program("nginx/1.22.1", "--prefix=" .. dir)
    assert.same({ ndk, lua }, launcher.find(path).modules)
  end)

  it("spares an old nginx the argument it does not know", function()
    module "ngx_http_lua_module"
    for version, arguments in pairs { ["nginx/1.18.0 (Ubuntu)"] = "", ["nginx/1.19.4"] = "",
      ["nginx/1.19.5"] = "-e stderr", ["nginx/2.0.0"] = "-e stderr", ["odd"] = "" } do
      assert.equal(arguments, launcher.find(program(version, "--prefix=" .. dir)).arguments)
    end
  end)

  it("says what to install when Lua or nginx is missing", function()
    local path = program("nginx/1.22.1", "--prefix=" .. dir)
    local found, message = launcher.find(path)
    assert.is_nil(found)
    assert.truthy(message:find("'" .. path .. "' has no Lua module", 1, true), message)
    assert.truthy(message:find("apt-get install nginx libnginx-mod-http-lua", 1, true), message)
    found, message = launcher.find(dir .. "/nothing")
    assert.same({ nil, "there is no program '" .. dir .. "/nothing'" }, { found, message })
  end)
end)
