-- runs/create, every run with a name of its own.
-- Arguments: first number to count from, experiment id.
require "result"

local count, experiment
local headers = { ["Content-Type"] = "application/json" }

function init(args)
  count, experiment = tonumber(args[1]), args[2]
end

function request()
  count = count + 1
  local body = string.format(
    '{"experiment_id":"%s","run_name":"run-%d","start_time":%d,"tags":[{"key":"mlflow.user","value":"bench"}]}',
    experiment, count, 1700000000000 + count)
  return wrk.format("POST", "/api/2.0/mlflow/runs/create", headers, body)
end
