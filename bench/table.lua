--- table.lua
-- Prints the table of the rows in a file.
-- Does not know how a figure was measured.
-- SPDX-License-Identifier: MIT
--
-- table.lua FILE
require("bench.rows").table(io.lines(arg[1]))
