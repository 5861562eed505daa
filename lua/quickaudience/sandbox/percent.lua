--- percent.lua
-- The ways of percent-encoding that a signer may have used.
-- Does not know about signatures, and shares no code with the client it is to check.
-- SPDX-License-Identifier: MIT

local M = {}

local function escape(char)
  return string.format("%%%02X", string.byte(char))
end

--- As java.net.URLEncoder does: the vendor's sample code is Java (inferred).
---@param text string
---@return string
function M.form(text)
  return (text:gsub("[^%w%.%-%*_ ]", escape):gsub(" ", "+"))
end

--- RFC 3986, unreserved characters stay.
---@param text string
---@return string
function M.rfc3986(text)
  return (text:gsub("[^%w%.%-_~]", escape))
end

--- No encoding at all.
---@param text string
---@return string
function M.none(text)
  return text
end

--- The names that options and messages use.
M.names = { "form", "rfc3986", "none" }

return M
