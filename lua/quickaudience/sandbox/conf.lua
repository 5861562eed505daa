--- conf.lua
-- The nginx configuration of a sandbox.
-- Does not know where nginx is or how it is started; it holds no secret.
-- SPDX-License-Identifier: MIT

local M = {}

-- One process without a master: its Lua VM is the store (see sandbox/nginx.lua).
local TEMPLATE = [[
daemon off;
master_process off;
pid nginx.pid;
error_log stderr $log_level;
$load_modules
events { worker_connections 512; }
http {
  access_log off;
  server_tokens off;
  client_body_temp_path tmp;
$temp_paths
  client_max_body_size $body_limit;
  client_body_buffer_size $body_limit;
  client_body_in_single_buffer on;
  client_body_in_file_only off;
  large_client_header_buffers 4 16k;
  keepalive_requests 1000000;
  keepalive_timeout 75s;
  lua_package_path "$package_path;;";
  lua_package_cpath "$package_cpath;;";
  init_by_lua_block { require("quickaudience.sandbox.nginx").init() }
  init_worker_by_lua_block { require("quickaudience.sandbox.nginx").start() }
  server {
    listen $listen;
    error_page 400 413 414 494 @refused;
    location / { content_by_lua_block { require("quickaudience.sandbox.nginx").handle() } }
    location @refused { content_by_lua_block { require("quickaudience.sandbox.nginx").refuse() } }
  }
}
]]

-- nginx makes these directories at its start, in places that only root may write to.
local TEMP_MODULES = { "proxy", "fastcgi", "uwsgi", "scgi" }

-- A text inside a double-quoted nginx parameter.
local function quote(text)
  return (text:gsub('[\\"]', "\\%0"))
end

---@class quickaudience.sandbox.conf.options
---@field load_modules string[] files of dynamic modules, in their order
---@field configured string the output of `nginx -V`
---@field listen string address:port
---@field body_limit integer bytes
---@field log_level string
---@field package_path string
---@field package_cpath string

--- The text of the configuration.
---@param options quickaudience.sandbox.conf.options
---@return string
function M.render(options)
  local modules, temp_paths = {}, {}
  for i, file in ipairs(options.load_modules) do
    modules[i] = string.format('load_module "%s";', quote(file))
  end
  for _, name in ipairs(TEMP_MODULES) do
    if not options.configured:find("--without-http_" .. name .. "_module", 1, true) then
      temp_paths[#temp_paths + 1] = string.format("  %s_temp_path tmp;", name)
    end
  end
  local values = {
    load_modules = table.concat(modules, "\n"),
    temp_paths = table.concat(temp_paths, "\n"),
    body_limit = string.format("%d", options.body_limit),
    log_level = options.log_level,
    listen = options.listen,
    package_path = quote(options.package_path),
    package_cpath = quote(options.package_cpath),
  }
  return (TEMPLATE:gsub("%$([%l_]+)", values))
end

return M
