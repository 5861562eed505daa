--- rows.lua
-- One line of the benchmarks' table: written by each part, read by the one that prints all.
-- Does not know how a figure was measured.
-- SPDX-License-Identifier: MIT
local M = {}

--- The value in the middle of a list, which is sorted by this.
---@param list number[]
---@return number
function M.median(list)
  table.sort(list)
  return list[math.floor((#list + 1) / 2)]
end

--- Prints a row. Without a target it only informs.
---@param row { figure: string, ours: string, yardstick: string?, value: number, target: number?,
---  over: boolean?, digits: integer? } `over`: the value must reach the target, not stay below it
function M.print(row)
  io.write(table.concat({
    row.figure, row.ours, row.yardstick or "-", ("%.17g"):format(row.value),
    row.target and ("%.17g"):format(row.target) or "-", row.over and ">=" or "<=",
    ("%d"):format(row.digits or 2),
  }, "\t"), "\n")
end

local function read(line)
  local parts = {}
  for part in line:gmatch("[^\t]+") do
    parts[#parts + 1] = part
  end
  local value, target, over = tonumber(parts[4]), tonumber(parts[5]), parts[6] == ">="
  local number = ("%%.%df"):format(tonumber(parts[7]))
  local verdict = "-"
  if target then
    local met = over and value >= target or not over and value <= target
    verdict = met and "met" or "MISSED"
  end
  return { parts[1], parts[2], parts[3], number:format(value),
    target and parts[6] .. " " .. number:format(target) or "-", verdict }
end

-- Characters, not bytes: the unit of most figures is spelled with a Greek letter.
local function width(text)
  return #text:gsub("[\128-\191]", "")
end

local function pad(cells, widths)
  local out = {}
  for column, cell in ipairs(cells) do
    local blank = (" "):rep(widths[column] - width(cell))
    out[column] = column == 1 and cell .. blank or blank .. cell
  end
  return (table.concat(out, "  "):gsub("%s+$", ""))
end

--- Prints the table of the rows in `lines`.
---@param lines fun(): string?
function M.table(lines)
  local rows = { { "figure", "ours", "yardstick", "value", "target", "verdict" } }
  for line in lines do
    rows[#rows + 1] = read(line)
  end
  local widths = {}
  for _, cells in ipairs(rows) do
    for column, cell in ipairs(cells) do
      widths[column] = math.max(widths[column] or 0, width(cell))
    end
  end
  for _, cells in ipairs(rows) do
    print(pad(cells, widths))
  end
end

return M
