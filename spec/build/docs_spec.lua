-- docs_spec.lua
-- Holds the documents to the tree: files named, links, commands and metrics that exist.
-- Does not know whether what they say about them is true.
-- SPDX-License-Identifier: MIT
local shell = require "support.shell"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local documents = shell.lines("ls README.md docs/*.md")

-- The first cells of the tables below a heading, as they stand between backquotes.
local function files_below(text, heading)
  local found = {}
  local rest = text:match("\n" .. heading:gsub("%p", "%%%0") .. "[^\n]*\n(.*)")
  for line in (rest and rest:match("^(.-)\n##") or rest or ""):gmatch("[^\n]+") do
    local name = line:match("^| `([^`]+)` |")
    if name then found[#found + 1] = name end
  end
  return found
end

-- What is in one list and not in the other, or twice in one: short, however long the lists are.
local function differences(there, named)
  local count, found = {}, {}
  for _, name in ipairs(there) do count[name] = 1 end
  for _, name in ipairs(named) do count[name] = (count[name] or 0) - 1 end
  for name, n in pairs(count) do
    if n ~= 0 then found[#found + 1] = name .. (n > 0 and " is missing" or " is too much") end
  end
  table.sort(found)
  return found
end

describe("docs/architecture.md", function()
  local text = read("docs/architecture.md")

  it("names every C source once, and no other", function()
    local named = {}
    for heading in text:gmatch("\n(### `src`[^\n]*)") do
      for _, name in ipairs(files_below(text, heading)) do named[#named + 1] = "src/" .. name end
    end
    assert.same({}, differences(shell.lines("find src -name '*.c'"), named))
  end)

  it("names every Lua file once, and no other", function()
    local named = files_below(text, "### `lua/quickaudience`")
    for i, name in ipairs(named) do named[i] = "lua/quickaudience/" .. name end
    assert.same({}, differences(shell.lines("find lua -name '*.lua'"), named))
  end)

  it("names every header that has no source", function()
    local missing = {}
    for _, path in ipairs(shell.lines("find src -name '*.h'")) do
      local source = io.open((path:gsub("h$", "c")))
      if source then source:close()
      elseif not text:find("`" .. path:match("[^/]+$") .. "`", 1, true) then
        missing[#missing + 1] = path
      end
    end
    assert.same({}, missing)
  end)
end)

describe("the documents", function()
  local function anchors(path)
    local found = {}
    for heading in ("\n" .. read(path)):gmatch("\n#+ ([^\n]+)") do
      local anchor = heading:lower():gsub("[^%w%- _]", ""):gsub(" ", "-")
      found[anchor] = true
    end
    return found
  end

  it("link to what is there", function()
    local broken = {}
    for _, path in ipairs(documents) do
      local folder = path:match("^(.*/)") or ""
      for target in read(path):gmatch("%]%(([^)%s]+)%)") do
        if not target:find("^%w+://") then
          local file, anchor = target:match("^([^#]*)#?(.*)$")
          file = file == "" and path or folder .. file
          local _, status = shell.run("test -e " .. shell.quote(file))
          if status ~= 0 or (anchor ~= "" and not anchors(file)[anchor]) then
            broken[#broken + 1] = path .. ": " .. target
          end
        end
      end
    end
    assert.same({}, broken)
  end)

  it("name make targets that are there", function()
    local makefile, strays = read("Makefile"), {}
    for _, path in ipairs(documents) do
      for target in read(path):gmatch("[`\n]make (%l[%l-]*)") do
        if not makefile:find("%f[%w-]" .. target:gsub("%-", "%%-") .. "%f[^%w-]") then
          strays[#strays + 1] = path .. ": make " .. target
        end
      end
    end
    assert.same({}, strays)
  end)

  it("name metrics that are there", function()
    local prometheus = require "quickaudience.prometheus"
    local known, strays = {}, {}
    for _, metric in ipairs(prometheus.metrics) do known[metric.name] = true end
    for _, path in ipairs(documents) do
      for name in read(path):gmatch("`" .. prometheus.PREFIX .. "([%l_]+)") do
        if not known[name] then strays[#strays + 1] = path .. ": " .. name end
      end
    end
    assert.same({}, strays)
  end)

  it("tell of the command that CI runs", function()
    assert.truthy(read(".ci/run"):find("make test", 1, true))
    assert.truthy(read("README.md"):find("\nmake test", 1, true))
  end)
end)

describe("docs/operating.md", function()
  local text = read("docs/operating.md")

  it("says what to do about every code that a user can get", function()
    local missing = {}
    for code in read("src/status.c"):gmatch('case QA_[%u_]+: return "([%u_]+)"') do
      if code ~= "OK" and not text:find("`" .. code .. "`", 1, true) then
        missing[#missing + 1] = code
      end
    end
    assert.same({}, missing)
  end)

  it("tells of every state", function()
    for state in read("src/ledger.c"):gmatch('case QA_STATE_[%u_]+: return "([%l_]+)"') do
      assert.truthy(text:find("`" .. state .. "`", 1, true), state)
    end
  end)
end)
