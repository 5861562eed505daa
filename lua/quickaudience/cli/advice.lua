-- advice.lua
-- What to do about each error code, in a sentence for somebody at a terminal.
-- Does not know where an error came from.
-- SPDX-License-Identifier: MIT
local M = {}

M.by_code = {
  CONFIG = "read the message: it names the key and what is expected",
  INVALID_EVENT = "fix the event at the path that the message names",
  QUEUE_FULL = "raise queue_events or queue_bytes, or send less at a time",
  SPOOL_FULL = "make room, or raise spool_max_bytes",
  TIMEOUT = "the service or the way to it is slow: try again, or raise timeout",
  NETWORK = "check the host in endpoint, the network, and whether a proxy is needed",
  TLS = "check that endpoint names the right host, the machine's clock, and ca_file",
  HTTP = "check endpoint and path; 5xx and 429 pass by themselves",
  REJECTED = "the service understood the call and refused it: its own words say why",
  AUTH = "check app_id, access_key, access_secret and the clock; 'quickaudience sign' shows "
    .. "what is signed",
  BAD_RESPONSE = "something other than the service answers there: check endpoint, path and proxy",
  SPOOL = "check the spool's directory",
}

--- What to do about a code; nil if there is nothing to say.
---@param code string|nil
---@return string|nil
function M.of(code)
  return code and M.by_code[code]
end

return M
