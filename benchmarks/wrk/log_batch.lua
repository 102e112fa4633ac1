-- runs/log-batch: 100 metrics (keys) at as many new steps as the batch has hundreds, to the runs in turn.
-- Arguments: first number to count from, metrics in a batch, run ids.
require "result"

local KEYS = 100
local count, steps
local batches = 0
local runs = {}
local headers = { ["Content-Type"] = "application/json" }

function init(args)
  count, steps = tonumber(args[1]), tonumber(args[2]) / KEYS
  for i = 3, #args do runs[#runs + 1] = args[i] end
end

function request()
  batches = batches + 1
  local run = runs[batches % #runs + 1]
  local points = {}
  for _ = 1, steps do
    count = count + 1
    local tail = string.format(',"timestamp":%d,"step":%d}', 1700000000000 + count, count)
    for key = 1, KEYS do
      points[#points + 1] = '{"key":"metric_' .. key .. '","value":' .. (count % 9973 + key / 128) .. tail
    end
  end
  local body = '{"run_id":"' .. run .. '","metrics":[' .. table.concat(points, ",") .. ']}'
  return wrk.format("POST", "/api/2.0/mlflow/runs/log-batch", headers, body)
end
