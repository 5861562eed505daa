--- cli.lua
-- The command `quickaudience`: reads the arguments and hands over to a subcommand.
-- Does not know what any subcommand does.
-- SPDX-License-Identifier: MIT
--
-- Exit codes, the same for every subcommand:
--   0  done
--   1  failed; the reason is on standard error
--   2  the command line was wrong; nothing was done

local version = require "quickaudience.version"

local M = {}

M.OK, M.FAILED, M.USAGE = 0, 1, 2

-- The subcommands, each a module quickaudience.cli.<name> with
--   summary             one line for the overview
--   configure(command)  adds options and arguments to the argparse command
--   run(args, context)  returns one of the exit codes
M.commands = { "check", "send", "import", "sign", "sandbox", "spool" }

local EPILOG = "Exit codes: 0 done, 1 failed, 2 wrong command line."

-- Makes argparse hand a text over instead of printing it and ending the process.
local function show(context, parser, text_of)
  return function()
    context.shown = text_of(parser)
    error("shown", 0)
  end
end

local function help_text(parser)
  return parser:get_help()
end

local function add_help(parser, context)
  parser:add_help(false)
  parser:flag("-h --help", "Show this text and exit."):action(show(context, parser, help_text))
end

-- Only what stands among the arguments is configured: the others' options need not be known.
local function names_in(args)
  local found = {}
  for _, word in ipairs(args) do found[word] = true end
  return found
end

-- The parser, and the subcommand that is named first, if any.
local function build(argparse, args, context)
  local parser = argparse("quickaudience",
    "Report events to Alibaba Quick Audience, and test what reports them.", EPILOG)
  add_help(parser, context)
  parser:flag("--version", "Show the version and exit."):action(show(context, parser, function()
    return "quickaudience " .. version
  end))
  parser:command_target("command")
  local named = names_in(args)
  for _, name in ipairs(M.commands) do
    local module = require("quickaudience.cli." .. name)
    local command = parser:command(name, module.summary)
    command:summary(module.summary)
    command:epilog(EPILOG)
    add_help(command, context)
    if named[name] then module.configure(command) end
  end
  local first
  for _, name in ipairs(M.commands) do
    if args[1] == name then first = name end
  end
  return parser, first
end

local function usage_error(context, name, message)
  -- argparse ends some of its messages with a hint on a line of its own.
  message = message:gsub("\nDid you mean", "; did you mean")
  local command = "quickaudience" .. (name and " " .. name or "")
  context.stderr:write(command, ": ", message, "\nTry '", command, " --help'.\n")
  return M.USAGE
end

-- What could not be written was not done: a full disk must not look like success.
local function flushed(context, code)
  local _, message = context.stdout:flush()
  if not message then return code end
  -- Who stops reading, as `head` does, knows. Mostly a signal ends the process before this.
  if message:find("Broken pipe", 1, true) then return M.FAILED end
  context.stderr:write("quickaudience: cannot write to standard output: ", message, "\n")
  return M.FAILED
end

---@class quickaudience.cli.context
---@field stdin file*
---@field stdout file*
---@field stderr file*
---@field getenv fun(name: string): string|nil

--- Runs the command.
---@param args string[]
---@param context quickaudience.cli.context|nil the process's own files and environment if nil
---@return integer exit code
function M.main(args, context)
  context = context
    or { stdin = io.stdin, stdout = io.stdout, stderr = io.stderr, getenv = os.getenv }
  local found, argparse = pcall(require, "argparse")
  if not found then
    context.stderr:write("quickaudience: the Lua module 'argparse' is missing "
      .. "(Debian, Ubuntu: apt-get install lua-argparse; elsewhere: luarocks install argparse)\n")
    return M.FAILED
  end
  local parser, name = build(argparse, args, context)
  local done, ok, result = pcall(parser.pparse, parser, args)
  if context.shown then
    context.stdout:write(context.shown, "\n")
    return flushed(context, M.OK)
  elseif not done then
    error(ok, 0)
  elseif not ok then
    return usage_error(context, name, result)
  end
  return flushed(context, require("quickaudience.cli." .. result.command).run(result, context))
end

return M
