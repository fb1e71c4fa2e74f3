-- What wrk sends, and how it checks each answer. bench/run starts it with one connection for each
-- thread, so that an answer belongs to the thread's last request:
--
--   wrk -t THREADS -c THREADS -d SECONDS -s load.lua URL -- THREADS FIRST KEYS CALLERS TOKENS REQUEST SOUGHT…
--
-- FIRST     number of the first request; everything that a request asks follows from its number
-- KEYS      how many records are asked for in turn; 0 asks for a new one each time
-- CALLERS   how many callers ask for each record
-- TOKENS    file with a signed token of each caller, one a line
-- REQUEST   the request, head and body, with @NAME where `values` has a function of that name
-- SOUGHT    texts that each answer holds, with @NAME as in the request

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(args)
  step, keys, callers, template = tonumber(args[1]), tonumber(args[3]), tonumber(args[4]), args[6]
  number = number + tonumber(args[2])
  tokens = {}
  if template:find("@token", 1, true) then
    for line in io.lines(args[5]) do
      table.insert(tokens, line)
      if #tokens == callers then break end
    end
  end
  expected = { unpack(args, 7) }
  wrong = ""
end

local function mixed(n)
  return (n * 2654435761 + 12345) % 4294967296
end

local function new_id(n)
  return string.format("%08x-%04x-4000-8000-%012x", mixed(n), mixed(n) % 65536, n)
end

-- The place of the request's caller and record. 7919 is prime, so all come once, in an order that a
-- processor's cache cannot foresee.
local function place()
  return (number * 7919) % (keys * callers)
end

local function caller()
  if keys == 0 then return number % callers end
  return math.floor(place() / keys)
end

-- All values of a name have the same length, so that Content-Length is right.
local values = {
  id = function(digit)
    if digit ~= "" then return new_id(number * 10 + digit) end
    if keys == 0 then return new_id(number) end
    return string.format("warm-%05d", place() % keys)
  end,
  text = function() return string.format("%010d", number) end,
  caller = function() return string.format("%08d", caller()) end,
  token = function() return tokens[caller() % #tokens + 1] end,
  trace = function() return string.format("%016x%016x", mixed(number) + 1, mixed(number + 1)) end,
  span = function() return string.format("%016x", mixed(number) + 1) end,
  sampled = function() return number % 100 == 0 and "01" or "00" end,
}

local function filled(text)
  return (text:gsub("@(%l+)(%d?)", function(name, digit) return values[name](digit) end))
end

function request()
  sought = {}
  for place, text in ipairs(expected) do sought[place] = filled(text) end
  local sent = filled(template)
  number = number + step
  return sent
end

function response(status, headers, body)
  if wrong ~= "" then return end
  if status ~= 200 or body:find('"errors"', 1, true) then
    wrong = status .. ": " .. body:sub(1, 300)
    return
  end
  for _, text in ipairs(sought) do
    if not body:find(text, 1, true) then
      wrong = text .. " is not in " .. body:sub(1, 300)
    end
  end
end

function done(summary, latency)
  local next, first_wrong = 0, ""
  for _, thread in ipairs(threads) do
    next = math.max(next, thread:get("number"))
    if thread:get("wrong") ~= "" then first_wrong = thread:get("wrong") end
  end
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout
  io.stderr:write(string.format("%d %d %d %d\n%s\n", summary.requests, next, failed,
    latency:percentile(50), first_wrong))
end
