--- faults_spec.lua
-- Checks the script of faults: what it refuses, and which fault a call gets.
-- Does not know how a fault looks on the wire.
-- SPDX-License-Identifier: MIT

local cjson = require "cjson"
local faults = require "quickaudience.sandbox.faults"

local function call(...)
  local events = {}
  for i, id in ipairs { ... } do events[i] = { customerId = id } end
  return { events = events, bytes = 100 * #events }
end

-- "path code" of every error.
local function errors_of(script)
  local count, errors = faults.new():add(script)
  assert.is_nil(count)
  local list = {}
  for i, failure in ipairs(errors) do
    assert.is_string(failure.message)
    list[i] = failure.path .. " " .. failure.code
  end
  return list, errors[1].message
end

-- The statuses that the next calls get; "-" for no fault.
local function statuses(list, count, one)
  local seen = {}
  for i = 1, count do
    local fault = list:pick(one or call("u"))
    seen[i] = fault and (fault.status or "pass") or "-"
  end
  return seen
end

describe("sandbox.faults", function()
  it("gives each fault to as many calls as it says, in their order", function()
    local list = faults.new()
    assert.equal(3, list:add { { status = 500 }, { status = 429, times = 2 },
      { pass = true } })
    assert.same({ 500, 429, 429, "pass", "-" }, statuses(list, 5))
    assert.equal(3, list.applied)
  end)

  it("takes one fault, an array, or an object with rules, and appends", function()
    local list = faults.new()
    assert.equal(1, list:add { status = 500 })
    assert.equal(0, list:add {})
    assert.equal(2, list:add { faults = { { status = 501 }, { status = 502 } } })
    assert.equal(0, list:add { reject_customer_ids = { "u-13" }, clock_skew = -60 })
    assert.same({ 500, 501, 502, "-" }, statuses(list, 4))
    assert.is_true(list.rejected["u-13"])
    assert.equal(-60, list.clock_skew)
  end)

  it("goes on forever with 0 or 'forever', until it is cleared", function()
    for _, times in ipairs { 0, "forever" } do
      local list = faults.new()
      list:add { status = 503, times = times }
      for _ = 1, 100 do assert.equal(503, list:pick(call()).status) end
      list:clear()
      assert.is_nil(list:pick(call()))
      assert.equal(0, list.applied)
    end
  end)

  it("leaves a fault whose condition is not met for later", function()
    local list = faults.new()
    list:add { { status = 500, customer_id = "bad" }, { status = 413, min_events = 3 },
      { status = 400, min_bytes = 400 }, { status = 503 } }
    assert.same({ 503, "-" }, statuses(list, 2))
    assert.same({ 500, "-" }, statuses(list, 2, call("a", "bad")))
    assert.same({ 413, "-" }, statuses(list, 2, call("a", "b", "c")))
    assert.same({ 400, "-" }, statuses(list, 2, call("a", "b", "c", "d")))
    assert.is_nil(list:pick({ events = { 1, "x" }, bytes = 0 }))
  end)

  it("repeats random faults with the same seed", function()
    local function run(seed)
      local list = faults.new()
      list:add { faults = { { status = 500, probability = 0.3, times = 0 } }, seed = seed }
      return statuses(list, 1000)
    end
    local first = run(7)
    assert.same(first, run(7))
    assert.are_not.same(first, run(8))
    local hits = 0
    for _, status in ipairs(first) do
      if status == 500 then hits = hits + 1 end
    end
    assert.is_true(hits > 250 and hits < 350, tostring(hits))
  end)

  it("never or always happens at the ends of probability", function()
    local list = faults.new()
    list:add { { status = 500, probability = 0, times = 0 },
      { status = 501, probability = 1, times = 0 } }
    for _ = 1, 100 do assert.equal(501, list:pick(call()).status) end
  end)

  it("names the nearest known key", function()
    local list, message = errors_of { { status = 500 }, { stauts = 500 } }
    assert.same({ "[1].stauts UNKNOWN_KEY" }, list)
    assert.equal("unknown key 'stauts' (did you mean 'status'?)", message)
    list, message = errors_of { faults = {}, reject_customers_id = {} }
    assert.same({ "reject_customers_id UNKNOWN_KEY" }, list)
    assert.truthy(message:find("'reject_customer_ids'", 1, true))
    list, message = errors_of { body = "emtpy" }
    assert.same({ "[0].body INVALID_VALUE" }, list)
    assert.truthy(message:find("'empty'", 1, true))
  end)

  it("refuses wrong values, and says where", function()
    for name, values in pairs {
      status = { 199, 600, 200.5, "500", true, cjson.null }, error_code = { 1 },
      error_desc = { false }, delay = { -1, 601, "1" }, body = { "none", 1 }, text = { 5 },
      retry_after = { -1, true, "a\nb" }, date_skew = { "1" }, close = { "soon", true },
      headers = { "x", { "x" }, { ["a b"] = "c" }, { a = 1 }, { a = "b\r\nc" } },
      store = { "yes" }, times = { -1, 1.5, "ever" }, probability = { -0.1, 1.1 },
      customer_id = { 1 }, min_events = { -1 }, min_bytes = { 0.5 }, size = { 0 },
    } do
      for _, value in ipairs(values) do
        local fault = { status = 500, [name] = value }
        assert.same({ "[0]." .. name .. " INVALID_VALUE" }, (errors_of { fault }),
          name .. " " .. tostring(value))
      end
    end
    for name, values in pairs { reject_customer_ids = { "u", { 1 }, { a = "b" } },
      clock_skew = { "1" }, seed = { 0, 1.5 } } do
      for _, value in ipairs(values) do
        assert.same({ name .. " INVALID_VALUE" }, (errors_of { faults = {}, [name] = value }))
      end
    end
  end)

  it("refuses what contradicts itself or does nothing", function()
    assert.same({ "[0] NO_EFFECT" }, (errors_of { { times = 3, customer_id = "u" } }))
    assert.same({ "[0].text CONFLICT" }, (errors_of { { body = "empty", text = "x" } }))
    assert.same({ "[0].status CONFLICT" }, (errors_of { { close = "after", status = 500 } }))
    assert.same({ "[0].store CONFLICT" }, (errors_of { { close = "after", store = true } }))
    assert.same({ "[0].delay CONFLICT" }, (errors_of { { pass = true, delay = 1 } }))
    assert.same({ "[0].size CONFLICT" }, (errors_of { { body = "empty", size = 10 } }))
  end)

  it("refuses what is no script at all", function()
    assert.same({ " WRONG_TYPE" }, (errors_of("x")))
    assert.same({ "[0] WRONG_TYPE" }, (errors_of { 5 }))
    assert.same({ "faults WRONG_TYPE" }, (errors_of { faults = "x" }))
    assert.same({ "faults WRONG_TYPE" }, (errors_of { faults = { status = 500 } }))
  end)

  it("takes all of a script or nothing", function()
    local list = faults.new()
    assert.is_nil(list:add { faults = { { status = 500 }, { status = 1 } }, clock_skew = 5 })
    assert.is_nil(list:pick(call()))
    assert.equal(0, list.clock_skew)
  end)

  it("is bounded", function()
    local list, many = faults.new(), {}
    for i = 1, 1000 do many[i] = { status = 500 } end
    assert.equal(1000, list:add(many))
    assert.is_nil(list:add { status = 500 })
    list:pick(call())
    assert.equal(1, list:add { status = 500 })
  end)

  it("knows which faults let a call be stored", function()
    for _, case in ipairs {
      { { status = 500 }, false }, { { status = 302 }, false }, { { status = 200 }, true },
      { { status = 500, store = true }, true }, { { error_code = "x" }, false },
      { { error_desc = "x" }, false }, { { body = "empty" }, true }, { { text = "" }, true },
      { { body = "garbage", store = false }, false }, { { delay = 1 }, true },
      { { close = "before" }, false }, { { close = "after" }, true }, { { pass = true }, true },
    } do
      assert.equal(case[2], faults.stores(case[1]), cjson.encode(case[1]))
    end
  end)

  it("describes what waits", function()
    local list = faults.new()
    assert.same({ applied = 0, waiting = 0, faults = {}, reject_customer_ids = {},
      clock_skew = 0 }, cjson.decode(list:describe()))
    list:add { faults = { { status = 500, times = 3 }, { delay = 1, times = 0 } },
      reject_customer_ids = { "u" } }
    list:pick(call())
    assert.same({ applied = 1, waiting = 2, faults = { { status = 500, times = 2 },
      { delay = 1, times = "forever" } }, reject_customer_ids = { "u" }, clock_skew = 0 },
      cjson.decode(list:describe()))
  end)
end)
