-- What wrk sends, and how it checks each answer. bench/run starts it with one connection for each
-- thread, so that an answer belongs to the thread's last request:
--
--   wrk -t THREADS -c THREADS -d SECONDS -s load.lua URL \
--     KIND FIRST KEYS CALLERS DOCUMENT TRACED ORIGIN TOKENS EXPECTED THREADS
--
-- KIND      record, page, statistics, aliases, or upstream (the upstream's own interface)
-- FIRST     number of the first request; everything that a request asks follows from its number
-- KEYS      how many records are asked for in turn; 0 asks for a new one each time
-- CALLERS   how many callers ask for each record, each with a token of its own
-- DOCUMENT  same, new (a text no other request has), or a number of texts, of which no two requests for a
--           record have the same until all have been sent
-- TRACED    yes: each request has its own traceparent, sampled in one of 100, and X-Request-Id
-- ORIGIN    value of the Origin header, or -
-- TOKENS    file with a signed token of each caller, one a line, or - for callers of the upstream
-- EXPECTED  text that each answer holds, or - to hold what was asked for

local PROJECT = "089b2f9a3d80d3062f24c00ca4ed5cbd"
local FIELDS = "id projectId desktopId desktopName username size duration type status startTime endTime updateTime"

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(args)
  kind, keys, callers, document = args[1], tonumber(args[3]), tonumber(args[4]), args[5]
  traced, origin, expected = args[6] == "yes", args[7], args[9]
  step = tonumber(args[10])
  tokens = nil
  if args[8] ~= "-" then
    tokens = {}
    for line in io.lines(args[8]) do table.insert(tokens, line) end
  end
  number = number + tonumber(args[2])
  wrong = ""
end

local function mixed(n)
  return (n * 2654435761 + 12345) % 4294967296
end

local function new_id(n)
  return string.format("%08x-%04x-4000-8000-%012x", mixed(n), mixed(n) % 65536, n)
end

-- The record, caller and document of the request with this number.
local function subject(n)
  if keys == 0 then return new_id(n), n % callers, n end
  local pairs = keys * callers
  -- 7919 is prime, so all pairs come once, in an order that a processor's cache cannot foresee.
  local place = (n * 7919) % pairs
  local text = document == "new" and n or math.floor(n / pairs)
  return "warm-" .. place % keys, math.floor(place / keys), text
end

local function token(caller)
  return string.format("bench-caller-%08d", caller)
end

local function record_body(id, text)
  local name, alias = "Record", ""
  if document == "new" then
    name, alias = "Record" .. text, "r" .. text .. ": "
  elseif document ~= "same" then
    name = "Record" .. text % tonumber(document)
  end
  return string.format('{"query":"query %s($projectId: ID!, $id: ID!) { screenRecord(projectId: $projectId, '
    .. 'id: $id) { %s } }","variables":{"projectId":"%s","id":"%s"}}', name, alias .. FIELDS, PROJECT, id)
end

local function aliases_body(n)
  local parts = {}
  for alias = 0, 49 do
    table.insert(parts, string.format('a%d: screenRecord(projectId: \\"%s\\", id: \\"%s\\") { %s }',
      alias, PROJECT, new_id(n * 10 + alias % 10), FIELDS))
  end
  return '{"query":"{ ' .. table.concat(parts, " ") .. ' }"}'
end

-- The unknown variable makes each body a new one, so that no response is cached.
local function statistics_body(n)
  return string.format('{"query":"query Sums($projectId: ID!) { screenRecordStatistics(projectId: $projectId, '
    .. 'groupBy: [DAY, USERNAME], timeZone: \\"Europe/Berlin\\") { groups { time username count seconds bytes } '
    .. 'scanned isComplete } }","variables":{"projectId":"%s","number":%d}}', PROJECT, n)
end

local function page_body()
  return string.format('{"query":"query Page($projectId: ID!) { screenRecords(projectId: $projectId, first: 100) '
    .. '{ nodes { %s } } }","variables":{"projectId":"%s"}}', FIELDS, PROJECT)
end

function request()
  local id, caller, text = subject(number)
  local headers = {}
  if tokens and kind ~= "upstream" then
    headers["Authorization"] = "Bearer " .. tokens[caller % #tokens + 1]
  else
    headers["X-Auth-Token"] = token(caller)
  end
  sought = { '"id":"' .. id .. '"' }
  local body
  if kind == "upstream" then
    number = number + step
    return wrk.format("GET", "/v2/" .. PROJECT .. "/screen-records/" .. id, headers)
  elseif kind == "page" then
    body, sought = page_body(), { '"id":"' }
  elseif kind == "statistics" then
    body, sought = statistics_body(number), { '"isComplete":true' }
  elseif kind == "aliases" then
    body, sought = aliases_body(number), { '"a49":{"id":"' .. new_id(number * 10 + 9) .. '"' }
  else
    body = record_body(id, text)
    if document == "new" then sought = { '"r' .. text .. '":"' .. id .. '"' } end
    if callers > 1 and not tokens then table.insert(sought, '"username":"' .. token(caller) .. '"') end
  end
  if expected ~= "-" then sought = { expected } end
  headers["Accept"] = "application/json"
  headers["Content-Type"] = "application/json"
  if origin ~= "-" then headers["Origin"] = origin end
  if traced then
    local one, other = mixed(number), mixed(number + 1)
    local sampled = number % 100 == 0 and "01" or "00"
    headers["traceparent"] = string.format("00-%016x%016x-%016x-%s", one + 1, other, one + 1, sampled)
    headers["X-Request-Id"] = string.format("%016x%016x", other, one)
  end
  number = number + step
  return wrk.format("POST", "/graphql", headers, body)
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
