--- multipart.lua
-- Takes a multipart/form-data body apart into its text fields.
-- Does not know which fields a call needs.
-- SPDX-License-Identifier: MIT

local M = {}

-- The service needs two fields; this many only keeps a hostile body from costing memory.
local MAX_PARTS = 64

local function problem(code, path, message)
  return nil, { status = 400, code = code, path = path, message = message }
end

--- The boundary that a Content-Type header names.
---@param content_type string|table|nil a list if the header stands there more than once
---@return string|nil boundary
---@return table|nil problem
function M.boundary(content_type)
  local path = "header.Content-Type"
  if not content_type or content_type == "" then
    return problem("NOT_MULTIPART", path, "is missing; the body must be multipart/form-data")
  end
  if type(content_type) == "table" then
    return problem("NOT_MULTIPART", path, "stands there more than once")
  end
  local kind = content_type:match("^%s*([^;%s]+)"):lower()
  if kind ~= "multipart/form-data" then
    return problem("NOT_MULTIPART", path,
      string.format("is '%s'; the body must be multipart/form-data", kind:sub(1, 60)))
  end
  local rest = content_type:match("[;%s][Bb][Oo][Uu][Nn][Dd][Aa][Rr][Yy]%s*=%s*(.*)$")
  local boundary = rest and (rest:match('^"([^"]*)"') or rest:match("^([^%s;]+)"))
  if not boundary or boundary == "" then
    return problem("NO_BOUNDARY", path, "names no boundary")
  elseif #boundary > 70 then -- RFC 2046, 5.1.1
    return problem("NO_BOUNDARY", path, "its boundary is longer than 70 characters")
  end
  return boundary
end

-- The headers of a part: names in lower case.
local function parse_headers(text)
  local headers = {}
  for line in (text .. "\r\n"):gmatch("(.-)\r\n") do
    if line ~= "" then
      local name, value = line:match("^([%w%-]+):%s*(.-)%s*$")
      if not name then return nil end
      headers[name:lower()] = value
    end
  end
  return headers
end

local function parameter(disposition, name)
  local quoted = disposition:match(";%s*" .. name .. '%s*=%s*"([^"]*)"')
  return quoted or disposition:match(";%s*" .. name .. "%s*=%s*([^;%s\"]+)")
end

local function add_part(fields, head, content, index)
  local path = string.format("body.part[%d]", index)
  local headers = parse_headers(head)
  if not headers then
    return problem("MALFORMED_MULTIPART", path, "has a header line that is none")
  end
  local disposition = headers["content-disposition"]
  if not disposition or not disposition:lower():match("^form%-data") then
    return problem("MALFORMED_MULTIPART", path, "has no Content-Disposition: form-data")
  end
  local name = parameter(disposition, "name")
  if not name then return problem("MALFORMED_MULTIPART", path, "has no name") end
  path = "body." .. name:sub(1, 60)
  if disposition:match(";%s*filename%*?%s*=") then
    return problem("FIELD_IS_FILE", path, "was sent as a file; a text field is needed")
  elseif fields[name] then
    return problem("DUPLICATE_FIELD", path, "stands there more than once")
  end
  fields[name] = content
  return true
end

--- The text fields of a body.
---@param body string
---@param boundary string
---@return table<string, string>|nil fields
---@return table|nil problem
function M.parse(body, boundary)
  local delimiter = "\r\n--" .. boundary
  local fields, count = {}, 0
  -- The first delimiter may open the body without the line break that belongs to the others.
  local at, stop
  if body:sub(1, #boundary + 2) == "--" .. boundary then
    at, stop = 1, #boundary + 2
  else
    at, stop = body:find(delimiter, 1, true)
  end
  if not at then
    return problem("MALFORMED_MULTIPART", "body", "the boundary of Content-Type is not in it")
  end
  while true do
    local tail = body:match("^%-%-", stop + 1)
    if tail then break end
    local start = select(2, body:find("^[ \t]*\r\n", stop + 1))
    if not start then
      return problem("MALFORMED_MULTIPART", "body",
        "a boundary is followed by neither a line break nor '--'")
    end
    count = count + 1
    if count > MAX_PARTS then
      return problem("MALFORMED_MULTIPART", "body", "has more than " .. MAX_PARTS .. " parts")
    end
    local next_at, next_stop = body:find(delimiter, start - 1, true)
    if not next_at then
      return problem("MALFORMED_MULTIPART", "body", "is cut off: its last boundary is missing")
    end
    local blank, content_at = body:find("\r\n\r\n", start - 1, true)
    if not blank or content_at >= next_at then
      return problem("MALFORMED_MULTIPART", string.format("body.part[%d]", count),
        "has no empty line between its headers and its content")
    end
    local ok, failure = add_part(fields, body:sub(start + 1, blank - 1),
      body:sub(content_at + 1, next_at - 1), count)
    if not ok then return nil, failure end
    stop = next_stop
  end
  return fields
end

return M
