-- .luacheckrc: the library runs on every Lua from 5.1 on, so only what all of them have is known.
std = "min"
max_line_length = 100
exclude_files = { "build" }
files["spec"] = { std = "+busted" }
files["lua/quickaudience/sandbox"] = { std = "+ngx_lua" }
files["examples"] = { std = "+ngx_lua" }
