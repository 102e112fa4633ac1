-- runs/log-metric: one point of one metric, at a new step each time, to the runs in turn.
-- Arguments: first number to count from, run ids.
require "result"

local count
local runs = {}
local headers = { ["Content-Type"] = "application/json" }

function init(args)
  count = tonumber(args[1])
  for i = 2, #args do runs[#runs + 1] = args[i] end
end

function request()
  count = count + 1
  local body = string.format(
    '{"run_id":"%s","key":"loss","value":%.6f,"timestamp":%d,"step":%d}',
    runs[count % #runs + 1], 1 / (count % 9973 + 1), 1700000000000 + count, count)
  return wrk.format("POST", "/api/2.0/mlflow/runs/log-metric", headers, body)
end
