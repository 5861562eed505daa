-- shell.lua
-- Runs command lines for specs and hands back what they printed.
-- Does not know what is run.
-- SPDX-License-Identifier: MIT
local M = {}

---One word of a command line, whatever it holds.
---@param text string
---@return string
function M.quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

---@param command string
---@return string output both streams
---@return integer status
function M.run(command)
  -- The status travels as text, because Lua 5.1 cannot close a pipe and tell.
  local pipe = assert(io.popen("(" .. command .. "\n) 2>&1 </dev/null; echo \" $?\""))
  local output, status = pipe:read("*a"):match("^(.*) (%d+)\n$")
  pipe:close()
  return output, tonumber(status)
end

---Runs a command that has to succeed.
---@param command string
---@return string output
function M.check(command)
  local output, status = M.run(command)
  if status ~= 0 then error(command .. ": exit status " .. status .. "\n" .. output, 2) end
  return output
end

---The lines that a command prints, which has to succeed.
---@param command string
---@return string[]
function M.lines(command)
  local lines = {}
  for line in M.check(command):gmatch("[^\n]+") do lines[#lines + 1] = line end
  return lines
end

---A new empty folder; the caller removes it.
---@return string
function M.folder()
  return M.lines("mktemp -d")[1]
end

return M
