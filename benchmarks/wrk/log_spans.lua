-- /v1/traces: one trace of ten spans a request, each with a new id. Two spans in three are calls of a model.
-- Arguments: first number to count from, experiment id.
require "result"

local SPANS = 10
local count, headers
-- The request in pieces, between which the id of its trace stands.
local pieces = {}

local function varint(value)
  local out = ""
  while value > 127 do
    out = out .. string.char(value % 128 + 128)
    value = math.floor(value / 128)
  end
  return out .. string.char(value)
end

local function field(number, content)
  return string.char(number * 8 + 2) .. varint(#content) .. content
end

local function number64(value, first, last, step)
  local bytes = {}
  for i = first, last, step do
    bytes[i + 1] = string.char(value % 256)
    value = math.floor(value / 256)
  end
  return table.concat(bytes)
end

local function attribute(key, value)
  return field(9, field(1, key) .. field(2, field(1, value)))
end

local PLACE = string.rep("?", 16)

local function span(number)
  local id = string.rep("\0", 7)
  local parts = { field(1, PLACE), field(2, id .. string.char(number)) }
  if number > 1 then parts[#parts + 1] = field(4, id .. string.char(math.max(1, math.floor(number / 3)))) end
  parts[#parts + 1] = field(5, "step_" .. number)
  -- Lua's numbers are doubles: so large ones are exact if they are multiples of 256.
  local start = 1700000000000000000 + number * 1048576
  parts[#parts + 1] = string.char(7 * 8 + 1) .. number64(start, 0, 7, 1)
  parts[#parts + 1] = string.char(8 * 8 + 1) .. number64(start + 104857600, 0, 7, 1)
  local question = string.rep("What is the answer to question " .. number .. "? ", 4)
  local answer = string.rep("The answer is forty-two. ", 8)
  parts[#parts + 1] = attribute("mlflow.spanType", number % 3 == 0 and "LLM" or "CHAIN")
  parts[#parts + 1] = attribute("mlflow.spanInputs", '{"messages": [{"role": "user", "content": "' .. question .. '"}]}')
  parts[#parts + 1] = attribute("mlflow.spanOutputs", '{"role": "assistant", "content": "' .. answer .. '"}')
  parts[#parts + 1] = attribute("mlflow.spanFunctionName", '"predict"')
  if number % 3 == 0 then
    parts[#parts + 1] = attribute("mlflow.llm.model", '"gpt-4o-mini"')
    parts[#parts + 1] = attribute("mlflow.chat.tokenUsage", '{"input_tokens": 12, "output_tokens": 5, "total_tokens": 17}')
  end
  parts[#parts + 1] = field(15, "\24\1")
  return field(2, table.concat(parts))
end

function init(args)
  count = tonumber(args[1])
  headers = { ["Content-Type"] = "application/x-protobuf", ["x-mlflow-experiment-id"] = args[2] }
  local spans = {}
  for number = 1, SPANS do spans[number] = span(number) end
  local service = field(1, field(1, "service.name") .. field(2, field(1, "bench")))
  local body = field(1, field(1, service) .. field(2, table.concat(spans)))
  local from = 1
  while true do
    local first, last = string.find(body, PLACE, from, true)
    if first == nil then break end
    pieces[#pieces + 1] = string.sub(body, from, first - 1)
    from = last + 1
  end
  pieces[#pieces + 1] = string.sub(body, from)
end

function request()
  count = count + 1
  return wrk.format("POST", "/v1/traces", headers, table.concat(pieces, "RUNNEL--" .. number64(count, 0, 7, 1)))
end
