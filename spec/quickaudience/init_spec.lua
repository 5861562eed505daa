--- init_spec.lua
-- Checks the module's own functions: what new takes, what it refuses, and what stands beside it.
-- Does not know events, signatures or clients in depth; other specs do.
-- SPDX-License-Identifier: MIT

local quickaudience = require "quickaudience"
local version = require "quickaudience.version"

local function settings(changes)
  local given = { endpoint = "http://localhost:1", app_id = "app-1", access_key = "hidden-key",
    access_secret = "hidden-secret", organization_id = "org-1" }
  for name, value in pairs(changes or {}) do given[name] = value end
  return given
end

describe("quickaudience", function()
  it("has a version and nothing that is not documented", function()
    assert.equal(version, quickaudience._VERSION)
    local names = {}
    for name in pairs(quickaudience) do names[#names + 1] = name end
    table.sort(names)
    assert.same({ "_VERSION", "encode", "id_types", "new", "sign", "validate" }, names)
  end)

  it("sets no global", function()
    for _, name in ipairs { "quickaudience", "config", "client", "core" } do
      assert.is_nil(rawget(_G, name))
    end
  end)

  it("makes a client", function()
    local client = assert(quickaudience.new(settings()))
    assert.equal("quickaudience.client: http://localhost:1", tostring(client))
    assert.is_true(client:close(0))
  end)

  it("raises when it is given no table", function()
    for _, value in ipairs { "x", 7, true } do
      assert.has_error(function() quickaudience.new(value) end,
        "bad argument #1 to 'new' (expected a table, got " .. type(value) .. ")")
    end
    assert.has_error(function() quickaudience.new() end,
      "bad argument #1 to 'new' (expected a table, got nil)")
  end)

  it("returns what is wrong with the configuration", function()
    for message, changes in pairs {
      ["config.lingr: unknown key; did you mean 'linger'?"] = { lingr = 1 },
      ["config.attributes.price: not a finite number"] = { attributes = { price = 0 / 0 } },
      ["config.attributes: expected only strings as keys"] = { attributes = { "x" } },
      ["config.endpoint: expected a URL with its scheme, as in https://host"] =
        { endpoint = "example.com" },
      ["config.endpoint: http:// to 'example.com' would send events and signature in the clear; "
        .. "use https://, or set allow_insecure_http"] = { endpoint = "http://example.com" },
    } do
      local client, text, code = quickaudience.new(settings(changes))
      assert.is_nil(client)
      assert.equal(message, text)
      assert.equal("CONFIG", code)
    end
    local many = {}
    for i = 1, 65 do many["a" .. i] = i end
    local _, text, code = quickaudience.new(settings { attributes = many })
    assert.equal("config.attributes: more than 64", text)
    assert.equal("CONFIG", code)
  end)

  it("keeps no secret where Lua could find it", function()
    local client = assert(quickaudience.new(settings { on_delivery = function() end }))
    local seen = {}
    local function search(value, path)
      if type(value) == "string" then
        assert.falsy(value:find("hidden", 1, true), path)
      elseif type(value) == "table" and not seen[value] then
        seen[value] = true
        for key, inner in pairs(value) do
          search(key, path)
          search(inner, path .. "." .. tostring(key))
        end
      end
    end
    search(client:_private(), "private")
    search(client:stats(), "stats")
    search(package.loaded["quickaudience"], "module")
    search(package.loaded["quickaudience.client"], "client")
    search(package.loaded["quickaudience.config"], "config")
    search(package.loaded["quickaudience.core"], "core")
    client:close(0)
  end)

  it("guards its metatables", function()
    local client = assert(quickaudience.new(settings()))
    assert.equal("quickaudience.client", getmetatable(client))
    assert.equal("quickaudience.batch", getmetatable(client:batch()))
    assert.has_error(function() client.report("x", {}) end)
    assert.has_error(function() client.close(io.stdout) end)
    assert.is_nil(client.no_such_method)
    client:close(0)
  end)
end)
