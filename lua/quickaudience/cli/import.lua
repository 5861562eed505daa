-- import.lua
-- The subcommand `import`: sends the events of NDJSON or CSV files, and tells how far it is.
-- Does not know how a file is read or delivered; quickaudience.import does.
-- SPDX-License-Identifier: MIT
local cjson = require "cjson"
local advice = require "quickaudience.cli.advice"
local quantity = require "quickaudience.cli.quantity"
local settings = require "quickaudience.cli.settings"
local terminal = require "quickaudience.cli.terminal"

local M = {}

local OK, FAILED, USAGE = 0, 1, 2

-- Seconds that Ctrl-C leaves to what is under way.
local GRACE = 2
-- Requests per second that --rate aims at, so that the events come evenly.
local RATE_REQUESTS = 4

M.summary = "Send the events of NDJSON or CSV files, also gzipped; can be resumed."

local function delimiter(text)
  local named = { tab = "\t", ["\\t"] = "\t", comma = ",", semicolon = ";" }
  text = named[text] or text
  if #text ~= 1 or text:find('["\r\n]') then
    return nil, "--delimiter: expected one character, or tab"
  end
  return text
end

local function rate(text)
  local number = quantity.number(text)
  if not number or not (number > 0 and number <= 1e9) then
    return nil, "--rate: expected events per second, got '" .. text .. "'"
  end
  return number
end

function M.configure(command)
  command:description(M.summary .. " A line that is no good is put into a file of its own with its "
    .. "number and the reason, and the import goes on. A journal beside the file knows what "
    .. "was acknowledged: an import that was killed goes on with --resume.")
  command:argument("files", "The files; - is standard input. Gzip is recognized by itself.")
    :args("+"):argname("<file>")
  settings.configure(command, "import [<options>] <file>...", {
    command:option("--format",
      "ndjson: a JSON object on each line. csv: columns. Without it: by the "
      .. "file's name."):argname("<ndjson|csv>"):choices { "ndjson", "csv" },
    command:option("--column", "Of CSV: what a column holds, by its name or number: customer_id, "
      .. "event_code, event_time, entity_id, is_order, attributes.NAME, customer_ids.TYPE, or - to "
      .. "leave it out. A column that is named like a field is that field, any other one an "
      .. "attribute. Can be repeated.")
      :argname("<column=field>"):count("*"):convert(quantity.pair("--column", "column=field")),
    command:option("--set", "What events get that have no such field, such as event_code=visit. "
      .. "Can be repeated.")
      :argname("<field=value>"):count("*"):convert(quantity.pair("--set", "field=value")),
    command:option("--delimiter", "Of CSV: what separates columns; tab is one too.", ",")
      :convert(delimiter),
    command:flag("--no-header", "Of CSV: the first line is data; columns have numbers, from 1."),
    command:option("--rate", "Events per second, at most."):convert(rate):argname("<number>"),
    command:flag("--dry-run", "Check every line, and send nothing."),
    command:flag("--resume", "Go on where the journal says; without one, from the beginning."),
    command:flag("--restart", "Forget an earlier journal, and send everything again."),
    command:option("--journal",
      "The journal's file; <file>.journal if none is given. Standard input "
      .. "has a journal only with this."):argname("<path>"),
    command:option("--refused", "Where refused lines go; <file>.refused if none is given, "
      .. "stdin.refused for standard input."):argname("<path>"),
    command:flag("--json", "Print the result as JSON."),
  })
end

-- ---- options of one file ---------------------------------------------------------------------

local function format_of(args, path)
  if args.format then return args.format end
  local name = path:lower():gsub("%.gz$", "")
  return (name:find("%.csv$") or name:find("%.tsv$")) and "csv" or "ndjson"
end

local function journal_of(args, path)
  if args.dry_run then return nil end
  if args.journal then return args.journal end
  return path ~= "-" and path .. ".journal" or nil
end

local function refused_of(args, path)
  if args.refused then return args.refused end
  if args.dry_run then return nil end
  return (path == "-" and "stdin" or path) .. ".refused"
end

-- A field that does not exist is wrong whatever the file holds.
local function check_columns(args)
  local mapping = require "quickaudience.import.mapping"
  for _, pair in ipairs(args.column) do
    if pair[2] ~= "-" then
      local ok, message = mapping.target(pair[2])
      if not ok then return nil, "--column: " .. message end
    end
  end
  return true
end

local function check_usage(args, journal)
  local several = #args.files > 1
  if several and (args.journal or args.refused) then
    return nil, "--journal and --refused go with one file; several have their own beside them"
  elseif args.resume and args.restart then
    return nil, "--resume and --restart contradict each other"
  elseif args.resume and args.dry_run then
    return nil, "--resume and --dry-run contradict each other: a dry run keeps no journal"
  end
  for _, path in ipairs(args.files) do
    local own = journal_of(args, path)
    if args.resume and not own then
      return nil, "--resume of standard input needs --journal <path>"
    elseif own and not args.resume and not args.restart and journal.exists(own) then
      return nil, own .. ": there is a journal of an earlier import: --resume goes on with it "
        .. "(and sends nothing twice), --restart sends everything again"
    end
  end
  return check_columns(args)
end

-- The rate is kept by the sender: so many requests per second, of so many events.
local function apply_rate(given, wanted)
  if not wanted then return end
  local events = math.floor(wanted / RATE_REQUESTS)
  events = math.max(1, math.min(tonumber(given.batch_events) or 200, events))
  given.batch_events = events
  given.max_requests_per_second = math.min(wanted / events,
    tonumber(given.max_requests_per_second) or math.huge)
end

local function client_settings(args, context)
  if args.dry_run then return nil end
  local given, message = settings.read(args, context)
  if not given then return nil, message end
  given.spool = nil -- the file is on disk already, and the journal knows what of it arrived
  apply_rate(given, args.rate)
  local ok
  ok, message = require("quickaudience.config").check(given)
  if not ok then return nil, settings.explain(message) end
  return given
end

-- ---- what a person sees ----------------------------------------------------------------------

local function summary_text(job, result)
  local progress = require "quickaudience.import.progress"
  local text = string.format("%s: %s lines, %s %s, %s refused", result.file,
    progress.grouped(result.lines), progress.grouped(result.delivered),
    result.dry_run and "valid" or "delivered", progress.grouped(result.refused))
  if result.refused > 0 and job.options.refused then
    text = text .. " (see " .. job.options.refused .. ")"
  end
  return text
end

local function show_refused(context, job)
  for _, item in ipairs(job.first_refused) do
    terminal.fail(context, "import", string.format("line %s: %s",
      item.line and string.format("%.0f", item.line) or "?", item.reason))
  end
end

local function show(args, context, job, result, message, code)
  -- Of an input that was never read there is nothing to sum up.
  local summary = job.pump ~= nil
  if args.json then
    context.stdout:write(cjson.encode(result), "\n")
  elseif summary and terminal.is(context, "stdout") then
    context.stdout:write(summary_text(job, result), "\n")
  elseif summary and (result.refused > 0 or message) then
    context.stderr:write("quickaudience import: ", summary_text(job, result), "\n")
  end
  if result.refused > 0 and not args.json and not job.options.refused then
    show_refused(context, job)
  end
  if not message then return end
  terminal.fail(context, "import", result.file .. ": " .. message, advice.of(code))
  if job.journal and summary then
    context.stderr:write("  the journal is ", job.options.journal, "; --resume goes on\n")
  end
end

-- ---- one file --------------------------------------------------------------------------------

local function progress_hooks(context, progress)
  local told
  return function(job)
    progress:show { lines = job.lines_done, begun_at = job.lines_before,
      refused = job.refused_count, taken = job.source.taken, taken_before = job.taken_before,
      size = job.source.size }
  end, function(client)
    local stats = client:stats()
    local reason = stats.state == "paused" and stats.reason_message or nil
    if reason and reason ~= told then
      progress:clear()
      terminal.fail(context, "import", "delivery is paused: " .. reason, advice.of(stats.reason))
    end
    told = reason
  end
end

-- Whether an answer to the first, empty call means that no other call can succeed.
local function is_hopeless(code, details)
  return code ~= "REJECTED" and not (details and details.retriable)
end

local function run_job(job, progress, args, context)
  local ok, message = job:open()
  if not ok then return nil, message end
  if not args.dry_run then
    local answer, why, code, details = job.pump:check()
    if not answer and is_hopeless(code, details) then return nil, why, code end
    -- Somebody who waits for minutes should know what for, at a terminal or in a log.
    if not answer and code ~= "REJECTED" then
      terminal.fail(context, "import", why, "it is tried again, for as long as "
        .. "--delivery-deadline says")
    end
  end
  local code
  ok, message, code = job:run(GRACE)
  progress:clear()
  return ok, message, code
end

local function import(args, context, given, path, defaults)
  local visible = terminal.is(context, "stderr") and not args.json
  local progress = require("quickaudience.import.progress").new(visible and context.stderr or nil)
  local on_progress, on_wait = progress_hooks(context, progress)
  local columns = {}
  for _, pair in ipairs(args.column) do columns[pair[1]] = pair[2] end
  local separator = args.delimiter
  if path:lower():find("%.tsv") and separator == "," then separator = "\t" end
  local job = require("quickaudience.import.job").new {
    path = path, stdin = context.stdin, format = format_of(args, path),
    delimiter = separator, header = not args.no_header, columns = columns, defaults = defaults,
    journal = journal_of(args, path), resume = args.resume or false,
    refused = refused_of(args, path), settings = given,
    on_progress = on_progress, on_wait = on_wait,
  }
  local ok, message, code = run_job(job, progress, args, context)
  local result = { file = path, ok = ok and job.refused_count == 0, lines = job.lines_done,
    delivered = job.delivered, refused = job.refused_count, dry_run = args.dry_run,
    refused_file = job.refused_count > 0 and job.options.refused or nil, message = message,
    code = code }
  job:close()
  show(args, context, job, result, message, code)
  return result.ok, code
end

--- Runs the subcommand.
---@param args table
---@param context quickaudience.cli.context
---@return integer exit code
function M.run(args, context)
  local ok, problem = check_usage(args, require "quickaudience.import.journal")
  local defaults, given
  if ok then
    defaults, problem = require("quickaudience.import.mapping").defaults(args.set)
    problem = problem and "--set: " .. problem
  end
  if not problem then given, problem = client_settings(args, context) end
  if problem then
    terminal.fail(context, "import", problem)
    return USAGE
  end
  local all = true
  for _, path in ipairs(args.files) do
    local done, code = import(args, context, given, path, defaults)
    all = all and done
    if code == "INTERRUPTED" then break end
  end
  return all and OK or FAILED
end

return M
