--- reference.lua
-- Writes the tables of docs/reference.md from the code that they describe.
-- Does not know the text around them.
-- SPDX-License-Identifier: MIT
--
--   eval "$(make env)"; lua5.4 -e 'require("spec.support.reference").write()'

local config = require "quickaudience.config"
local id_types = require "quickaudience.id_types"
local prometheus = require "quickaudience.prometheus"

local M = { PATH = "docs/reference.md" }

local TYPES = { endpoint = "URL", proxy = "URL", text = "string", path = "path", file = "file name",
  integer = "integer", number = "number", boolean = "boolean", ["function"] = "function",
  table = "table", error_codes = "table" }

local function number_text(value)
  return (string.format(value == math.floor(value) and "%.0f" or "%.14g", value))
end

-- Sizes as people say them, beside the number that goes into the configuration.
local function amount(key, value)
  local text = number_text(value)
  if key.unit ~= "bytes" then return text end
  for _, unit in ipairs { { "GiB", 2 ^ 30 }, { "MiB", 2 ^ 20 }, { "KiB", 2 ^ 10 } } do
    if value >= unit[2] and value % unit[2] == 0 then
      return text .. " (" .. number_text(value / unit[2]) .. " " .. unit[1] .. ")"
    end
  end
  return text
end

local function type_text(key)
  if key.type == "choice" then return '`"' .. table.concat(key.values, '"`, `"') .. '"`' end
  local text = TYPES[key.type]
  return key.unit and text .. ", " .. key.unit or text
end

local function range_text(key)
  if not key.min then return "" end
  local text = number_text(key.min) .. " to " .. amount(key, key.max)
  return key.at_most and text .. ", at most `" .. key.at_most .. "`" or text
end

local function default_text(key)
  if key.required then return "**required**" end
  if key.default_doc then return key.default_doc end
  if key.default == nil then return "none" end
  if type(key.default) == "string" then return '`"' .. key.default .. '"`' end
  if type(key.default) == "number" then return amount(key, key.default) end
  return "`" .. tostring(key.default) .. "`"
end

local function row(...)
  return "| " .. table.concat({ ... }, " | ") .. " |"
end

local sections = {}

function sections.config()
  local lines = { row("key", "type", "range", "default", "importance", "meaning"),
    "|---|---|---|---|---|---|" }
  for _, key in ipairs(config.keys) do
    lines[#lines + 1] = row("`" .. key.name .. "`", type_text(key), range_text(key),
      default_text(key), key.importance, key.doc)
  end
  return lines
end

function sections.id_types()
  local codes = {}
  for code in pairs(id_types) do codes[#codes + 1] = code end
  table.sort(codes)
  local lines = { row("code", "meaning"), "|---|---|" }
  for _, code in ipairs(codes) do lines[#lines + 1] = row("`" .. code .. "`", id_types[code]) end
  return lines
end

function sections.metrics()
  local lines = { row("metric", "type", "labels", "from `stats()`", "meaning"),
    "|---|---|---|---|---|" }
  for _, metric in ipairs(prometheus.metrics) do
    lines[#lines + 1] = row("`" .. prometheus.PREFIX .. metric.name .. "`", metric.type,
      metric.label and "`" .. metric.label .. "`" or "", "`" .. metric.path .. "`", metric.help)
  end
  return lines
end

--- The text with every table between its marks written anew.
---@param text string
---@return string
function M.update(text)
  for name, lines_of in pairs(sections) do
    local first, last = "<!-- table: " .. name .. " -->\n", "<!-- end -->"
    local _, from = text:find(first, 1, true)
    local to = from and text:find(last, from, true)
    if not to then error(M.PATH .. ": has no place for the table '" .. name .. "'", 0) end
    text = text:sub(1, from) .. table.concat(lines_of(), "\n") .. "\n" .. text:sub(to)
  end
  return text
end

function M.read()
  local file = assert(io.open(M.PATH, "r"))
  local text = file:read("*a")
  file:close()
  return text
end

function M.write()
  local text = M.update(M.read())
  local file = assert(io.open(M.PATH, "w"))
  file:write(text)
  file:close()
end

return M
