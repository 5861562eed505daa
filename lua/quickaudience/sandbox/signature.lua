--- signature.lua
-- Checks the query and the signature of a call, and says which input of a wrong one differs.
-- Does not know HTTP, and never puts a secret or a right signature into a message.
-- SPDX-License-Identifier: MIT

local percent = require "quickaudience.sandbox.percent"

local M = {}

local NAMES = { "accessKey", "accessSecret", "appId", "timestamp" } -- in the signed order

-- A time below this many is no millisecond count of our days: it is the year 1973.
local LEAST_MS = 100000000000

local function problem(status, code, path, message)
  return nil, { status = status, code = code, path = path, message = message }
end

local function hex(bytes)
  return (bytes:gsub(".", function(char) return string.format("%02x", char:byte()) end))
end

-- The canonical text of the named values, in the given order.
local function canonical(names, values, encode)
  local pairs_ = {}
  for i, name in ipairs(names) do
    pairs_[i] = encode(name) .. "=" .. encode(values[name])
  end
  return table.concat(pairs_, "&")
end

--- The signature that the service expects (documented: sorted, joined, MD5 in lower-case hex).
---@param values table accessKey, accessSecret, appId, timestamp
---@param encoding string one of percent.names
---@param md5 fun(text: string): string gives 16 bytes
---@return string
function M.sign(values, encoding, md5)
  return hex(md5(canonical(NAMES, values, percent[encoding])))
end

-- All orders of a list.
local function permutations(list)
  if #list <= 1 then return { list } end
  local all = {}
  for i, first in ipairs(list) do
    local rest = {}
    for j, item in ipairs(list) do
      if i ~= j then rest[#rest + 1] = item end
    end
    for _, tail in ipairs(permutations(rest)) do
      table.insert(tail, 1, first)
      all[#all + 1] = tail
    end
  end
  return all
end

local function with(values, changes)
  local copy = {}
  for name, value in pairs(values) do copy[name] = value end
  for name, value in pairs(changes) do copy[name] = value end
  return copy
end

local function sorted_names(values)
  local names = {}
  for name in pairs(values) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- Slips in the values. Each is { what to say, changed values }.
local function value_slips(values, credentials, accepts)
  local slips = {}
  local function add(message, changes) slips[#slips + 1] = { message, with(values, changes) } end
  local secret = values.accessSecret
  for _, other in ipairs(credentials) do
    if other.access_secret ~= secret then
      add("it was made with the access secret that belongs to another appId and accessKey",
        { accessSecret = other.access_secret })
    end
  end
  for _, space in ipairs { "\n", "\r\n", " ", "\r", "\t" } do
    add("white space stands after the access secret", { accessSecret = secret .. space })
    add("white space stands before the access secret", { accessSecret = space .. secret })
  end
  add("the access secret was signed in lower case", { accessSecret = secret:lower() })
  add("the access secret was signed in upper case", { accessSecret = secret:upper() })
  add("the access secret is empty", { accessSecret = "" })
  add("accessKey was used as the access secret", { accessSecret = values.accessKey })
  add("appId and accessKey are swapped in the signed text",
    { appId = values.accessKey, accessKey = values.appId })
  add("the signed timestamp is in seconds, the sent one in milliseconds",
    { timestamp = values.timestamp:sub(1, -4) })
  add("the signed timestamp is another one, a second off", {
    timestamp = string.format("%.0f", tonumber(values.timestamp) - 1000) })
  if accepts then
    add("the form fields were signed too; only the query and the secret are", accepts)
  end
  return slips
end

-- The text that someone signed who made one slip: a list of { what to say, text }.
local function candidates(values, credentials, encoding, extra)
  local encode, list = percent[encoding], {}
  local function add(message, text) list[#list + 1] = { message, text } end
  for _, other in ipairs(percent.names) do
    if other ~= encoding then
      add(string.format("the values are encoded as '%s', not as '%s'", other, encoding),
        canonical(NAMES, values, percent[other]))
    end
  end
  local right = canonical(NAMES, values, encode)
  add("the encoded text was encoded once more", canonical(NAMES, values, function(text)
    return encode(encode(text))
  end))
  add("the signed text begins or ends with '&'", right .. "&")
  add("the signed text begins or ends with '&'", "&" .. right)
  add("the pairs are not joined by '&'", (right:gsub("&", "")))
  add("the signed text ends with a line break", right .. "\n")
  add("the whole text was encoded instead of each value", encode(right))
  for _, order in ipairs(permutations(NAMES)) do
    add("the names are not sorted: they must stand in the order " .. table.concat(NAMES, ", "),
      canonical(order, values, encode))
  end
  add("accessSecret is not part of the signed text",
    canonical({ "accessKey", "appId", "timestamp" }, values, encode))
  add("timestamp is not part of the signed text",
    canonical({ "accessKey", "accessSecret", "appId" }, values, encode))
  add("appId is not part of the signed text",
    canonical({ "accessKey", "accessSecret", "timestamp" }, values, encode))
  add("accessKey is not part of the signed text",
    canonical({ "accessSecret", "appId", "timestamp" }, values, encode))
  if next(extra.query) then
    local all = with(values, extra.query)
    add("other query parameters were signed too; for POST only the four names are",
      canonical(sorted_names(all), all, encode))
  end
  for _, slip in ipairs(value_slips(values, credentials, next(extra.form) and extra.form)) do
    add(slip[1], canonical(sorted_names(slip[2]), slip[2], encode))
  end
  return list
end

local UNEXPLAINED = "the access secret differs, or the signed text is not "
  .. "accessKey=…&accessSecret=…&appId=…&timestamp=… with the values of the query"

-- What a wrong signature was made of, as far as trying the usual slips can tell.
local function explain(given, values, credentials, encoding, extra, md5)
  local lower = given:lower()
  local right = M.sign(values, encoding, md5)
  if lower == right then return "it must be in lower case" end
  for _, candidate in ipairs(candidates(values, credentials, encoding, extra)) do
    if hex(md5(candidate[2])) == lower then return candidate[1] end
  end
  return UNEXPLAINED
end

local function find_credential(credentials, app_id, access_key)
  local app_known, key_known
  for _, credential in ipairs(credentials) do
    local app, key = credential.app_id == app_id, credential.access_key == access_key
    if app and key then return credential end
    app_known, key_known = app_known or app, key_known or key
  end
  if not app_known then
    return problem(401, "UNKNOWN_APP_ID", "query.appId", "no such appId")
  elseif not key_known then
    return problem(401, "UNKNOWN_ACCESS_KEY", "query.accessKey", "no such accessKey")
  end
  return problem(401, "UNKNOWN_ACCESS_KEY", "query.accessKey",
    "this accessKey belongs to another appId")
end

local function check_query(query)
  for _, name in ipairs { "appId", "timestamp", "accessKey" } do
    local value = query[name]
    if value == nil or value == true or value == "" then
      return problem(400, "MISSING_PARAMETER", "query." .. name, "is missing")
    elseif type(value) == "table" then
      return problem(400, "DUPLICATE_PARAMETER", "query." .. name, "stands there more than once")
    end
  end
  return true
end

local function check_timestamp(text, now, skew)
  local path = "query.timestamp"
  if not text:match("^%d+$") or #text > 15 then
    return problem(400, "INVALID_TIMESTAMP", path, "not a count of milliseconds in digits")
  end
  local ms = tonumber(text)
  if ms < LEAST_MS then
    return problem(400, "INVALID_TIMESTAMP", path, "looks like seconds; milliseconds are needed")
  end
  local off = ms / 1000 - now
  if math.abs(off) > skew then
    return problem(401, "TIMESTAMP_SKEW", path, string.format(
      "%.0f s %s the sandbox's clock; %.0f s are allowed",
      math.abs(off), off > 0 and "ahead of" or "behind", skew))
  end
  return true
end

local function check_form(given)
  if given == nil or given == "" then
    return problem(401, "MISSING_AUTHORIZATION", "header.Authorization", "is missing")
  elseif type(given) == "table" then
    return problem(400, "DUPLICATE_PARAMETER", "header.Authorization",
      "stands there more than once")
  elseif given:match("^%a+%s+%x+$") then
    return problem(401, "MALFORMED_SIGNATURE", "header.Authorization",
      "only the signature may stand there, without a scheme such as Bearer")
  elseif #given ~= 32 or given:match("%X") then
    return problem(401, "MALFORMED_SIGNATURE", "header.Authorization", string.format(
      "must be 32 hexadecimal digits of an MD5, has %d characters", #given))
  end
  return true
end

---@class quickaudience.sandbox.signature.call
---@field query table the decoded query; a repeated parameter is a list
---@field authorization string|nil
---@field form table|nil the form's text fields, to recognise a signature that includes them

---@class quickaudience.sandbox.signature.options
---@field credentials table[] { app_id, access_key, access_secret }
---@field encoding string one of percent.names
---@field now number the sandbox's clock, in seconds
---@field skew number seconds that the timestamp may be off (the service's value is unknown)
---@field md5 fun(text: string): string

--- Checks one call.
---@param call quickaudience.sandbox.signature.call
---@param options quickaudience.sandbox.signature.options
---@return table|nil credential the one that signed
---@return table|nil problem { status, code, path, message }
function M.check(call, options)
  local query, given = call.query, call.authorization
  local ok, failure = check_query(query)
  if not ok then return nil, failure end
  local credential
  credential, failure = find_credential(options.credentials, query.appId, query.accessKey)
  if not credential then return nil, failure end
  ok, failure = check_form(given)
  if not ok then return nil, failure end
  ok, failure = check_timestamp(query.timestamp, options.now, options.skew)
  if not ok then return nil, failure end

  local values = {
    accessKey = query.accessKey, appId = query.appId, timestamp = query.timestamp,
    accessSecret = credential.access_secret,
  }
  if M.sign(values, options.encoding, options.md5) == given then return credential end
  local extra = { query = {}, form = call.form or {} }
  for name, value in pairs(query) do
    if not values[name] and type(value) == "string" then extra.query[name] = value end
  end
  return problem(401, "SIGNATURE_MISMATCH", "header.Authorization", "wrong signature: "
    .. explain(given, values, options.credentials, options.encoding, extra, options.md5))
end

return M
