-- rules.lua
-- The game's rules: players come, play, buy and leave.
-- Does not know how events are reported; it is loaded again on HUP, so it keeps nothing itself.
-- SPDX-License-Identifier: MIT

local M = {}

local PLAYERS = 40
local SHOP = { { sku = "sword", price = 120 }, { sku = "potion", price = 4.5 },
  { sku = "map", price = 15 } }
local WEAPONS = { "bow", "sling", "axe" }

local function come(world, place, event)
  world.came = (world.came or 0) + 1
  local player = { id = "r" .. world.room .. "-p" .. world.came, gold = 50, shots = 0,
    stays = 60 + world.came * 37 % 240 }
  world.players[place] = player
  event { customer_id = player.id, event_code = "player_came",
    attributes = { room = world.room } }
end

local function leave(world, place, event)
  local player = world.players[place]
  world.players[place] = nil
  event { customer_id = player.id, event_code = "player_left",
    attributes = { room = world.room, shots = player.shots, gold = player.gold } }
end

-- Attributes differ from event to event, so that no two events are the same.
local function shoot(player, event)
  player.shots = player.shots + 1
  player.gold = player.gold + 1
  event { customer_id = player.id, event_code = "shot_fired",
    attributes = { shot = player.shots, weapon = WEAPONS[player.shots % #WEAPONS + 1] } }
end

local function buy(player, event)
  local item = SHOP[player.shots % #SHOP + 1]
  if player.gold < item.price then return end
  player.gold = player.gold - item.price
  event { customer_id = player.id, event_code = "item_bought", is_order = true,
    attributes = { shot = player.shots,
      items = { { sku = item.sku, price = item.price, quantity = 1 } } } }
end

--- One frame: `world` lives on from frame to frame and from one version of the rules to the next.
function M.frame(world, _, event)
  local made = 0
  local function happen(it)
    made = made + 1
    event(it)
  end
  for place = 1, PLAYERS do
    local player = world.players[place]
    if made >= world.events then break end
    if not player then
      come(world, place, happen)
    elseif player.stays <= 0 then
      leave(world, place, happen)
    else
      player.stays = player.stays - 1
    end
  end
  while made < world.events do
    world.turn = (world.turn or 0) % PLAYERS + 1
    local player = world.players[world.turn]
    if player then
      shoot(player, happen)
      if player.shots % 25 == 0 and made < world.events then buy(player, happen) end
    else
      come(world, world.turn, happen)
    end
  end
end

--- The server stops: everybody leaves.
function M.finish(world, event)
  for place = 1, PLAYERS do
    if world.players[place] then leave(world, place, event) end
  end
end

return M
