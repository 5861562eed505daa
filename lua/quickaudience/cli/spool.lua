-- spool.lua
-- The subcommand `spool`: shows what a spool's directory holds, checks it, and minds dead letters.
-- Does not know how files are laid out, nor does it deliver anything.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"

local M = {}

local core -- quickaudience.core; loaded by M.run, so that the overview of the command needs no C

local OK, FAILED, USAGE = 0, 1, 2

-- How much is read at a time, so that memory stays small however much waits.
local PAGE_ROWS, PAGE_BYTES, PAGE_LETTERS = 1000, 4 * 1024 * 1024, 500

M.summary = "Show what a spool holds, check it, export it, and mind its dead letters."

local ACTIONS = { "list", "show", "verify", "export", "dead" }
local VERBS = { list = true, retry = true, drop = true }

local DESCRIPTION = [[
Works while the owners of the files run, and never delivers anything itself.

list         the files: owner, pending events, age, dead letters, size (without any action too)
show         the chunks that wait in each file
verify       checks each file's structure and every event's bytes; exit code 1 if one is damaged
export       the pending events as NDJSON, oldest first
dead list    the events that the service refused, with its reasons
dead retry   <id>... or --all: whoever owns the file, or adopts it next, sends them again
dead drop    <id>... or --all: deletes them]]

-- Most commands have the action first, so that is how this one is tried.
local function check_directory(text)
  for _, action in ipairs(ACTIONS) do
    if text == action then
      return nil, string.format("the directory comes first: quickaudience spool <directory> %s "
        .. "(one of that name: ./%s)", text, text)
    end
  end
  return text
end

function M.configure(command)
  command:description(M.summary .. "\n\n" .. DESCRIPTION)
  command:argument("directory", "The directory that is `spool` in the configuration.")
    :convert(check_directory)
  command:argument("action", "One of: " .. table.concat(ACTIONS, ", ") .. ".")
    :args("?"):choices(ACTIONS)
  command:argument("arguments", "What the action takes."):args("*")
  command:option("--file", "Only the file of this name."):argname("<name>")
  command:flag("--all", "For dead retry and dead drop: all of them.")
  command:flag("--json", "Print JSON instead of tables.")
end

-- ---- words ----

local function plain(text)
  return (text:gsub("%c", "?"))
end

local function bytes_text(bytes)
  for _, unit in ipairs { "B", "KiB", "MiB" } do
    if bytes < 1024 then
      return string.format(unit == "B" and "%.0f %s" or "%.1f %s", bytes, unit)
    end
    bytes = bytes / 1024
  end
  return string.format("%.1f GiB", bytes)
end

--- How long ago, or how long until, in two units at most.
---@param ms number
---@return string
function M.duration(ms)
  local seconds = math.floor(math.abs(ms) / 1000)
  if seconds < 60 then return string.format("%d s", seconds) end
  if seconds < 3600 then
    return string.format("%d m %d s", math.floor(seconds / 60), seconds % 60)
  elseif seconds < 86400 then
    return string.format("%d h %d m", math.floor(seconds / 3600), math.floor(seconds / 60) % 60)
  end
  return string.format("%d d %d h", math.floor(seconds / 86400), math.floor(seconds / 3600) % 24)
end

local function now_ms()
  return os.time() * 1000
end

local function owner_text(file)
  if file.corrupt then return "set aside" end
  if file.owner == 0 then return "none" end
  return file.owner > 0 and string.format("pid %.0f", file.owner) or "yes"
end

-- An empty list too.
local function json_list(items)
  local parts = {}
  for i, item in ipairs(items) do parts[i] = cjson.encode(item) end
  return "[" .. table.concat(parts, ",") .. "]"
end

-- An object with one more member, whose JSON is there already.
local function json_with(object, name, json)
  return string.format('%s,"%s":%s}', cjson.encode(object):sub(1, -2), name, json)
end

local function print_table(out, heads, rows)
  local widths = {}
  for column, head in ipairs(heads) do widths[column] = #head end
  for _, row in ipairs(rows) do
    for column, text in ipairs(row) do widths[column] = math.max(widths[column], #text) end
  end
  local function line(cells)
    local parts = {}
    for column, text in ipairs(cells) do
      parts[column] = column == #cells and text or text .. (" "):rep(widths[column] - #text)
    end
    out:write(table.concat(parts, "  "), "\n")
  end
  line(heads)
  for _, row in ipairs(rows) do line(row) end
end

-- ---- reading ----

-- The files that are meant; nil and a message when there is none of the name.
local function files_of(args)
  local all, message = core.spool_files(args.directory)
  if not all then return nil, message end
  if not args.file then return all end
  for _, file in ipairs(all) do
    if file.name == args.file then return { file } end
  end
  return nil, string.format("--file: no file '%s' in '%s'", args.file, args.directory)
end

-- Walks a file page by page. One that was delivered and removed meanwhile just ends.
local function walk(fetch, visit)
  local after
  while true do
    local page, message, code = fetch(after)
    if not page then
      if code == "CONFIG" and after then return true end
      return nil, message
    end
    if #page == 0 then return true end
    for _, item in ipairs(page) do visit(item) end
    after = page[#page].id
  end
end

local function each_row(directory, name, visit)
  return walk(function(after)
    return core.spool_rows(directory, name, after or 0, PAGE_ROWS, PAGE_BYTES)
  end, visit)
end

local function each_letter(directory, name, visit)
  return walk(function(after)
    return core.spool_letters(directory, name, after, PAGE_LETTERS)
  end, visit)
end

-- Files that can be read; those that can't are told of on standard error.
local function readable(args, context)
  local files, message = files_of(args)
  if not files then return nil, message end
  local good, complete = {}, true
  for _, file in ipairs(files) do
    if file.error then
      context.stderr:write("quickaudience spool: ", plain(file.error), "\n")
      complete = complete and file.corrupt
    elseif not file.corrupt or args.file then
      good[#good + 1] = file
    end
  end
  return good, complete
end

-- ---- actions ----

local actions = {}

function actions.list(args, context)
  local files, message = files_of(args)
  if not files then return nil, message end
  local out, sum = context.stdout, { bytes = 0, events = 0, dead = 0 }
  for _, file in ipairs(files) do
    sum.bytes, sum.events, sum.dead =
      sum.bytes + file.bytes, sum.events + file.events, sum.dead + file.dead
    file.age = file.oldest and math.max(0, now_ms() - file.oldest) / 1000 or nil
  end
  if args.json then
    sum.directory = args.directory
    out:write(json_with(sum, "files", json_list(files)), "\n")
    return true
  end
  out:write(string.format("%s: %d file%s, %s, %.0f pending events, %.0f dead letters\n",
    plain(args.directory), #files, #files == 1 and "" or "s", bytes_text(sum.bytes), sum.events,
    sum.dead))
  if #files == 0 then return true end
  local rows = {}
  for i, file in ipairs(files) do
    rows[i] = {
      file.name, owner_text(file), string.format("%.0f", file.events),
      file.age and M.duration(file.age * 1000) or "-", string.format("%.0f", file.dead),
      bytes_text(file.bytes), file.error and plain(file.error)
        or plain((file.endpoint or "?") .. (file.path or "") .. " "
          .. (file.organization_id or "")),
    }
  end
  print_table(out, { "file", "owner", "pending", "oldest", "dead", "size", "target" }, rows)
  return true
end

local function row_object(file, row)
  return {
    file = file.name, id = row.id, events = row.events, bytes = #row.data,
    attempts = row.attempts, possibly_stored = row.possibly_stored, accepted = row.accepted,
    deadline = row.deadline,
  }
end

function actions.show(args, context)
  local files, complete = readable(args, context)
  if not files then return nil, complete end
  local out, rows = context.stdout, {}
  for _, file in ipairs(files) do
    local ok, message = each_row(args.directory, file.name, function(row)
      if args.json then
        out:write(cjson.encode(row_object(file, row)), "\n")
        return
      end
      rows[#rows + 1] = {
        file.name, string.format("%.0f", row.id), string.format("%.0f", row.events),
        bytes_text(#row.data), M.duration(now_ms() - row.accepted),
        string.format("%.0f%s", row.attempts, row.possibly_stored and "?" or ""),
        row.deadline > now_ms() and "in " .. M.duration(row.deadline - now_ms()) or "passed",
      }
    end)
    if not ok then return nil, message end
  end
  if not args.json and #rows > 0 then
    print_table(out, { "file", "chunk", "events", "size", "age", "attempts", "deadline" }, rows)
    out:write("(attempts with '?': the service may have stored the events already)\n")
  elseif not args.json then
    out:write("nothing waits\n")
  end
  return complete
end

function actions.verify(args, context)
  local files, message = files_of(args)
  if not files then return nil, message end
  local good, results = true, {}
  for i, file in ipairs(files) do
    local ok, why, code = core.spool_verify(args.directory, file.name)
    if not ok and code == "CONFIG" then ok = true end -- delivered and removed meanwhile
    good = good and (ok or file.corrupt)
    results[i] = { file = file.name, ok = ok or false, message = why, corrupt = file.corrupt }
  end
  if args.json then
    context.stdout:write(json_with({ ok = good }, "files", json_list(results)), "\n")
    return good
  end
  for _, result in ipairs(results) do
    context.stdout:write(result.file, ": ",
      result.ok and "ok" or (result.corrupt and "set aside: " or "") .. plain(result.message),
      "\n")
  end
  return good
end

function actions.export(args, context)
  local files, complete = readable(args, context)
  if not files then return nil, complete end
  for _, file in ipairs(files) do
    local ok, message = each_row(args.directory, file.name, function(row)
      -- Events are joined by a comma and a newline, and hold no raw newline themselves.
      context.stdout:write((row.data:gsub(",\n", "\n")), "\n")
    end)
    if not ok then return nil, message end
  end
  return complete
end

-- ---- dead letters ----

-- All letters of the files, each with its file.
local function letters_of(args, context, visit)
  local files, complete = readable(args, context)
  if not files then return nil, complete end
  for _, file in ipairs(files) do
    local ok, message = each_letter(args.directory, file.name, function(letter)
      letter.file = file.name
      visit(letter)
    end)
    if not ok then return nil, message end
  end
  return complete
end

-- The event goes in as it stands: decoding would spoil large numbers.
local function letter_json(letter)
  local event = letter.event
  letter.event = nil
  return json_with(letter, "event", event)
end

local dead = {}

function dead.list(args, context)
  local out, count = context.stdout, 0
  local ok, message = letters_of(args, context, function(letter)
    count = count + 1
    if args.json then
      out:write(letter_json(letter), "\n")
      return
    end
    out:write(string.format("%s  %s  %.0f attempt%s%s\n", letter.id,
      os.date("%Y-%m-%d %H:%M:%S", math.floor(letter.time / 1000)), letter.attempts,
      letter.attempts == 1 and "" or "s", letter.retry and "  to be sent again" or ""))
    local reason = letter.message or letter.code or "?"
    -- The client's own messages end with it.
    if letter.trace_id and not reason:find(letter.trace_id, 1, true) then
      reason = reason .. "  (trace " .. letter.trace_id .. ")"
    end
    out:write("  ", plain(reason), "\n")
    out:write("  ", plain(letter.event), "\n")
  end)
  if ok ~= nil and count == 0 and not args.json then out:write("no dead letters\n") end
  return ok, message
end

-- Whether the letter is one of those that were named, by its id or the beginning of one.
local function is_meant(args, ids, letter)
  if args.all then return true end
  for _, id in ipairs(ids) do
    if letter.id:sub(1, #id) == id then
      ids.seen[id] = (ids.seen[id] or 0) + 1
      return true
    end
  end
  return false
end

-- Looks first and changes afterwards, so that a wrong id changes nothing.
local function choose(args, context, ids)
  local chosen = {}
  local ok, message = letters_of(args, context, function(letter)
    if is_meant(args, ids, letter) then
      chosen[#chosen + 1] = { file = letter.file, id = letter.id }
    end
  end)
  if ok == nil then return nil, message end
  for _, id in ipairs(ids) do
    if not ids.seen[id] then return nil, string.format("no dead letter '%s'", plain(id)) end
    if ids.seen[id] > 1 then
      return nil, string.format("'%s' begins the ids of %d dead letters", plain(id), ids.seen[id])
    end
  end
  return chosen
end

local function change(args, context, make, done)
  local ids = { seen = {} }
  for i = 2, #args.arguments do ids[i - 1] = args.arguments[i]:lower() end
  if #ids == 0 and not args.all then
    return nil, string.format("dead %s: name ids, or --all", args.arguments[1]), USAGE
  end
  local chosen, message = choose(args, context, ids)
  if not chosen then return nil, message end
  local count = 0
  for _, letter in ipairs(chosen) do
    local found, why, code = make(args.directory, letter.file, letter.id)
    if found == nil and code ~= "CONFIG" then return nil, why end
    if found then count = count + 1 end
  end
  if args.json then
    context.stdout:write(cjson.encode { [done] = count }, "\n")
  else
    context.stdout:write(string.format("%d dead letter%s %s\n", count, count == 1 and "" or "s",
      done == "retried" and "will be sent again" or "dropped"))
  end
  return true
end

function dead.retry(args, context)
  return change(args, context, core.spool_retry, "retried")
end

function dead.drop(args, context)
  return change(args, context, core.spool_drop, "dropped")
end

function actions.dead(args, context)
  local verb = args.arguments[1] or "list"
  if not VERBS[verb] then
    return nil, string.format("dead: must be list, retry or drop, is '%s'", plain(verb)), USAGE
  end
  return dead[verb](args, context)
end

--- Runs the subcommand.
---@param args table what argparse read
---@param context quickaudience.cli.context
---@return integer exit code
function M.run(args, context)
  core = require "quickaudience.core"
  local action = args.action or "list"
  if action ~= "dead" and #args.arguments > 0 then
    context.stderr:write("quickaudience spool: ", action, " takes no arguments\n")
    return USAGE
  end
  local ok, message, exit = actions[action](args, context)
  if ok == nil then
    context.stderr:write("quickaudience spool: ", plain(message), "\n")
    return exit or FAILED
  end
  return ok and OK or FAILED
end

return M
