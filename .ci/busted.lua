-- busted.lua
-- Runs busted under the Lua that reads this file; the system's command is bound to one Lua.
-- Does not know what is tested.
-- SPDX-License-Identifier: MIT
require "busted.runner" { standalone = false }
