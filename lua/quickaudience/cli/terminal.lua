-- terminal.lua
-- Tells whether a person watches a stream, and writes a failure where such a person looks.
-- Does not know what is shown.
-- SPDX-License-Identifier: MIT
local M = {}

local DESCRIPTORS = { stdin = 0, stdout = 1, stderr = 2 }

--- Whether a stream of the context is a terminal. A context of its own may say so itself.
---@param context quickaudience.cli.context
---@param name "stdin"|"stdout"|"stderr"
---@return boolean
function M.is(context, name)
  if context.terminal then return context.terminal[name] or false end
  if context[name] ~= io[name] then return false end
  -- A child inherits the descriptors, and `test` can ask what Lua cannot.
  local result = os.execute("test -t " .. DESCRIPTORS[name])
  return result == true or result == 0
end

--- Writes `quickaudience NAME: message` to standard error, with what to do on a line of its own.
---@param context quickaudience.cli.context
---@param name string the subcommand
---@param message string
---@param advice string|nil
function M.fail(context, name, message, advice)
  -- Words from the service or a file must not steer the terminal.
  message = message:gsub("[%z\1-\8\11-\31\127]", "?")
  context.stderr:write("quickaudience ", name, ": ", message, "\n")
  if advice then context.stderr:write("  ", advice, "\n") end
end

return M
