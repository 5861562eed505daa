--- pause.lua
-- For wrk: a connection waits a millisecond after an answer, so that the machine is not all busy.
-- Does not know what is asked for.
-- SPDX-License-Identifier: MIT
-- luacheck: globals delay

function delay()
  return 1
end
