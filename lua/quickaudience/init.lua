--- init.lua
-- The module `quickaudience`: makes clients, and checks, encodes and signs without one.
-- Does not know what a client does.
-- SPDX-License-Identifier: MIT
local client = require "quickaudience.client"
local config = require "quickaudience.config"
local core = require "quickaudience.core"
local id_types = require "quickaudience.id_types"
local version = require "quickaudience.version"

local M = { _VERSION = version, id_types = id_types }

--- Makes a client. Nothing is started and nothing connects before it is used.
---@param settings table the configuration; docs/reference.md lists the keys
---@return quickaudience.client|nil
---@return string|nil message
---@return string|nil code
function M.new(settings)
  if type(settings) ~= "table" then
    error("bad argument #1 to 'new' (expected a table, got " .. type(settings) .. ")", 2)
  end
  local checked, message, code = config.check(settings)
  if not checked then return nil, message, code end
  local signs
  signs, message, code = core.md5_available()
  if not signs then return nil, message, code end
  checked.user_agent = "quickaudience/" .. version
  return client.new(checked)
end

--- What report() would say about the event, without reporting it.
---@param event table
---@return true|nil
---@return string|nil message
---@return string|nil code
function M.validate(event)
  return core.validate(event)
end

--- The event as wire JSON, without what a client's configuration adds.
---@param event table
---@return string|nil json
---@return string|nil message
---@return string|nil code
function M.encode(event)
  return core.encode(event)
end

---@class quickaudience.call
---@field app_id string
---@field access_key string
---@field access_secret string
---@field timestamp integer milliseconds since 1970
---@field params table<string, string>|nil further query parameters, of a GET call
---@field encoding "form"|"rfc3986"|"none"|nil "form" if nil

--- The signature of a call: 32 lower-case hexadecimal digits.
---@param call quickaudience.call
---@return string|nil signature
---@return string|nil message
---@return string|nil code
function M.sign(call)
  return core.sign(call)
end

return M
