-- command.lua
-- Runs the command in this process with files and an environment made up, or for real.
-- Does not know the subcommands.
-- SPDX-License-Identifier: MIT
local cli = require "quickaudience.cli"
local sandbox = require "support.sandbox"

local M = {}

local function sink()
  local file = { text = "" }
  function file:write(...)
    for _, part in ipairs { ... } do self.text = self.text .. part end
    return self
  end
  function file.flush() end
  return file
end

local function reader(text)
  local file = {}
  function file.read(_, what)
    if type(what) == "number" then
      local block = text:sub(1, what)
      text = text:sub(what + 1)
      return block ~= "" and block or nil
    end
    local all = text
    text = ""
    return all
  end
  return file
end

--- Runs the command line in this process.
---@param args string[]
---@param options { environment: table|nil, input: string|nil, terminal: table|nil }|nil
---@return integer code
---@return string stdout
---@return string stderr
function M.run(args, options)
  options = options or {}
  local context = {
    stdout = sink(), stderr = sink(), stdin = reader(options.input or ""),
    getenv = function(name) return (options.environment or {})[name] end,
    terminal = options.terminal or {},
  }
  local code = cli.main(args, context)
  return code, context.stdout.text, context.stderr.text
end

--- The environment that leads to a sandbox.
function M.environment(box)
  return {
    QUICKAUDIENCE_ENDPOINT = box.url, QUICKAUDIENCE_APP_ID = box.credentials.app_id,
    QUICKAUDIENCE_ACCESS_KEY = box.credentials.access_key,
    QUICKAUDIENCE_ACCESS_SECRET = box.credentials.access_secret,
    QUICKAUDIENCE_ORGANIZATION_ID = box.organization_id,
  }
end

--- Starts the command as a process of its own: its pid, and a pipe that ends when it does.
--- `prefix`: shell words that run it.
function M.start(args, environment, prefix)
  local words = { prefix }
  for name, value in pairs(environment) do
    words[#words + 1] = name .. "=" .. sandbox.quote(value)
  end
  words[#words + 1] = sandbox.command()
  for _, word in ipairs(args) do words[#words + 1] = sandbox.quote(word) end
  local pipe = assert(io.popen("echo $$; exec env " .. table.concat(words, " ")
    .. " 2>&1 </dev/null"))
  return tonumber(pipe:read("*l")), pipe
end

function M.write_file(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

function M.read_file(path)
  local file = io.open(path, "rb")
  local text = file and file:read("*a")
  if file then file:close() end
  return text
end

--- Lines of NDJSON, each another event.
function M.events(count)
  local list = {}
  for i = 1, count do
    list[i] = string.format('{"customer_id":"u%d","event_code":"visit","event_time":%.0f,'
      .. '"attributes":{"n":%d}}\n', i, 1708235644000 + i, i)
  end
  return table.concat(list)
end

-- Seconds that a start and the reading of a journal may take.
local STARTING = 0.06

--- Imports a file, killing the process `kills` times, and resuming. Every third kill comes at a
--- moment drawn by lot around the start; the others when so many more events have arrived.
--- Returns the sandbox's counts, how the last run ended, and how many kills were in time.
function M.import_with_kills(box, path, total, kills, args)
  local environment, in_time = M.environment(box), 0
  local line = { "import", path, "--resume" }
  for _, word in ipairs(args) do line[#line + 1] = word end
  for kill = 1, kills do
    local pipe
    if kill % 3 == 0 then
      pipe = select(2, M.start(line, environment,
        ("timeout -s KILL %.3f env"):format(0.001 + math.random() * STARTING)))
    else
      local arrived = box:all().events.distinct
      local more = 1 + math.random() * 1.4 * (total - arrived) / (kills - kill + 2)
      local pid
      pid, pipe = M.start(line, environment)
      box:wait { distinct = math.min(total, math.floor(arrived + more)), timeout = 20 }
      os.execute("kill -9 " .. pid .. " 2>/dev/null")
    end
    -- One that came to its end says how it ended.
    if not pipe:read("*a"):find("quickaudience import:", 1, true) then in_time = in_time + 1 end
    pipe:close()
  end
  local _, pipe = M.start(line, environment)
  local output = pipe:read("*a")
  pipe:close()
  return box:all().events, output, in_time
end

return M
