-- .luacheckrc: the library runs on every Lua from 5.1 on, so it may use what all of them have,
-- and ask for what only some have, as in `table.unpack or unpack`.
std = "min"
read_globals = { "jit", "setfenv", "unpack", table = { fields = { "unpack" } } }
max_line_length = 100
exclude_files = { "build" }
files["spec"] = { std = "+busted" }
files["lua/quickaudience/sandbox"] = { std = "+ngx_lua" }
files["lua/quickaudience/nginx"] = { std = "+ngx_lua" }
files["lua/quickaudience/nginx.lua"] = { std = "+ngx_lua" }
files["bench/peer.lua"] = { std = "+ngx_lua" }
files["examples"] = { std = "+ngx_lua" }
