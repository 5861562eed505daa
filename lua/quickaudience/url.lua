--- url.lua
-- Takes the URLs of a configuration apart: scheme, user, host, port, and what follows.
-- Does not know which of them are wanted where.
-- SPDX-License-Identifier: MIT
local M = {}

local DEFAULT_PORTS = { http = 80, https = 443 }
local PORT_MAX = 65535

local function split_port(authority)
  local host, port = authority:match("^(%[[%x:.]+%])(.*)$")
  if not host then host, port = authority:match("^([%w._-]*)(.*)$") end
  if port == "" then return host end
  local number = tonumber(port:match("^:(%d+)$"))
  if not number or number < 1 or number > PORT_MAX then return nil end
  return host, number
end

---@class quickaudience.url
---@field scheme string lower-case
---@field user string|nil user and password, as they stand
---@field host string lower-case; an IPv6 address in brackets
---@field port integer|nil
---@field rest string path, query and fragment; ""

--- Takes a URL apart. Messages hold none of the text, which may hold a password.
---@param text string
---@return quickaudience.url|nil
---@return string|nil message
function M.parse(text)
  local scheme, after = text:match("^(%a[%w+.-]*)://(.*)$")
  if not scheme then return nil, "expected a URL with its scheme, as in https://host" end
  if text:find("[%c%s]") then return nil, "contains a blank or a control character" end
  local authority, rest = after:match("^([^/?#\\]*)(.*)$")
  local user, place = authority:match("^(.*)@(.*)$")
  local host, port = split_port(place or authority)
  if not host then return nil, "expected a host name, and a port from 1 to 65535 if any" end
  if host == "" then return nil, "the host is missing, expected as in https://host" end
  return { scheme = scheme:lower(), user = user, host = host:lower(), port = port, rest = rest }
end

--- Scheme, host and port, the port only where it is not the scheme's own.
---@param parts quickaudience.url
---@return string
function M.origin(parts)
  local port = parts.port
  if port == DEFAULT_PORTS[parts.scheme] then port = nil end
  return parts.scheme .. "://" .. parts.host .. (port and string.format(":%d", port) or "")
end

--- Whether the host is this machine: localhost, 127.0.0.0/8 or [::1].
---@param host string lower-case
---@return boolean
function M.is_loopback(host)
  if host == "localhost" or host == "[::1]" then return true end
  local a, b, c, d = host:match("^127%.(%d+)%.(%d+)%.(%d+)()$")
  if not d then return false end
  for _, part in ipairs { a, b, c } do
    if #part > 3 or tonumber(part) > 255 then return false end
  end
  return true
end

return M
