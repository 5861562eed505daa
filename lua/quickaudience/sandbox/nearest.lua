--- nearest.lua
-- Finds the known name that somebody most likely meant.
-- Does not know what the names stand for.
-- SPDX-License-Identifier: MIT

local M = {}

-- Edit distance in which swapping two neighbours costs one step: that is how people mistype.
local function distance(a, b)
  local before, previous = nil, {}
  for j = 0, #b do previous[j] = j end
  for i = 1, #a do
    local row = { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      local best = math.min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (same and 0 or 1))
      if before and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        best = math.min(best, before[j - 2] + 1)
      end
      row[j] = best
    end
    before, previous = previous, row
  end
  return previous[#b]
end

--- The nearest of `known` to `name`, or nil when none is near enough to be meant.
---@param name string
---@param known string[]
---@return string|nil
function M.find(name, known)
  -- A name longer than this is no slip of the hand, and the distance costs #a * #b.
  if #name > 64 then return nil end
  local plain = name:lower():gsub("[%-_%s]", "")
  local best, least
  for _, candidate in ipairs(known) do
    local d = distance(plain, (candidate:lower():gsub("[%-_%s]", "")))
    if not least or d < least then best, least = candidate, d end
  end
  if least and least <= math.max(2, math.floor(#name / 3)) then return best end
  return nil
end

--- `unknown key 'tims' (did you mean 'times'?)`, or the list of known names if none is near.
---@param what string
---@param name string
---@param known string[]
---@return string
function M.message(what, name, known)
  local near = M.find(name, known)
  if near then
    return string.format("unknown %s '%s' (did you mean '%s'?)", what, name, near)
  end
  return string.format("unknown %s '%s' (known: %s)", what, name:sub(1, 64),
    table.concat(known, ", "))
end

return M
