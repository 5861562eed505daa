-- sources_spec.lua
-- Holds the sources to the layers: which file may include what, and how each one opens.
-- Does not know how they are compiled.
-- SPDX-License-Identifier: MIT
local shell = require "support.shell"

-- Each foreign header, and the only files that may include it.
local owners = {
  { header = "^lua[%w]*%.h", files = "^src/lua_" },
  { header = "^lauxlib%.h", files = "^src/lua_" },
  { header = "^curl/", files = "^src/transport_curl" },
  { header = "^sqlite3%.h", files = "^src/spool_" },
  { header = "^jansson%.h", files = "^src/response%.c$" },
  { header = "^openssl/", files = "^src/sign%.c$" },
}

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

describe("sources", function()
  local sources = shell.lines("find src -name '*.[ch]'")
  local all = shell.lines("find src lua spec bench examples .ci -type f "
    .. "'(' -name '*.[ch]' -o -name '*.lua' ')' 2>/dev/null || true")

  it("include each library in its one place only", function()
    local strays = {}
    for _, path in ipairs(sources) do
      for header in read(path):gmatch('#%s*include%s*[<"]([^>"]+)[>"]') do
        for _, owner in ipairs(owners) do
          if header:find(owner.header) and not path:find(owner.files) then
            strays[#strays + 1] = path .. " includes " .. header
          end
        end
      end
    end
    assert.same({}, strays)
  end)

  it("keep the binding out of the core", function()
    local strays = {}
    for _, path in ipairs(sources) do
      if not path:find("^src/lua_") and read(path):find('#%s*include%s*"lua_') then
        strays[#strays + 1] = path
      end
    end
    assert.same({}, strays)
  end)

  it("never abort, print, or look into the environment", function()
    local strays = {}
    for _, path in ipairs(sources) do
      local code = read(path):gsub("/%*.-%*/", ""):gsub('"[^"\n]*"', '""')
      for _, call in ipairs { "abort", "exit", "printf", "getenv", "signal", "perror" } do
        if code:find("%f[%w_]" .. call .. "%s*%(") then
          strays[#strays + 1] = path .. ": " .. call
        end
      end
    end
    assert.same({}, strays)
  end)

  it("open with their name, their purpose, what they do not know, and the licence", function()
    local strays = {}
    for _, path in ipairs(all) do
      local name = path:match("[^/]+$"):gsub("%p", "%%%0")
      local head = read(path):sub(1, 600)
      local opening = head:match("^#![^\n]*\n(.*)") or head
      if not (opening:find("^[/%-*]+ " .. name .. "\n") and opening:find("\n[ *-]* Does not ")
        and opening:find("SPDX%-License%-Identifier: MIT")) then
        strays[#strays + 1] = path
      end
    end
    assert.same({}, strays)
  end)

  it("end their lines plainly", function()
    local strays = {}
    for _, path in ipairs(all) do
      local text = read(path)
      if text:find("[ \t]\n") or text:find("\r") or not text:find("[^\n]\n$") then
        strays[#strays + 1] = path
      end
    end
    assert.same({}, strays)
  end)
end)
