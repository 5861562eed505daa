--- version.lua
-- The version of quickaudience: the only place where it stands.
-- Does not know who prints it.
-- SPDX-License-Identifier: MIT

return "0.1.0"
