--- form_server.lua
-- Starts the Python form server for a spec, over plain HTTP or TLS, and ends it.
-- Does not know what is sent to it.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local shell = require "spec.support.shell"

local M = {}

local Server = {}

--- The last form as Python read it: { path =, headers =, parts = { { name =, text = }, … } }.
function Server:last()
  local options = self.certificate and " --cacert " .. shell.quote(self.certificate) or ""
  local text = shell.check("curl -sS --noproxy '*'" .. options .. " " .. self.url)
  local found = cjson.decode(text)
  for _, part in ipairs(found.parts or {}) do
    part.text = part.hex:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end)
  end
  return found
end

function Server:stop()
  self.life:close()
  os.execute("rm -rf " .. shell.quote(self.folder))
end

local function make_certificate(folder)
  shell.check("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    .. " -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    .. " -keyout " .. shell.quote(folder .. "/key.pem")
    .. " -out " .. shell.quote(folder .. "/certificate.pem"))
end

--- Starts one and waits until it listens.
---@param options { tls: boolean }|nil
function M.start(options)
  local folder = shell.folder()
  local self = setmetatable({ folder = folder }, { __index = Server })
  local words = "python3 spec/support/form_server.py " .. shell.quote(folder .. "/port")
  if options and options.tls then
    make_certificate(folder)
    self.certificate = folder .. "/certificate.pem"
    words = table.concat({ words, shell.quote(self.certificate),
      shell.quote(folder .. "/key.pem") }, " ")
  end
  -- Opening the FIFO waits for the server to open its end, which it does when it listens.
  shell.check("mkfifo " .. shell.quote(folder .. "/port"))
  self.life = assert(io.popen("exec " .. words .. " >/dev/null", "w"))
  local port_file = assert(io.open(folder .. "/port", "r"))
  self.port = tonumber(port_file:read("*l"))
  port_file:close()
  self.url = (self.certificate and "https" or "http") .. "://127.0.0.1:" .. self.port
  return self
end

return M
