-- runs/search for 100 runs of one experiment. Filtered, every request asks for another threshold and category, so
-- that no answer can come from a cache of the one before; each matches about a twentieth of the runs.
-- Arguments: first number to count from, experiment id, "all" or "filtered".
require "result"

local count, experiment, filtered
local headers = { ["Content-Type"] = "application/json" }

function init(args)
  count, experiment, filtered = tonumber(args[1]), args[2], args[3] == "filtered"
end

function request()
  count = count + 1
  local body
  if filtered then
    body = string.format(
      '{"experiment_ids":["%s"],"max_results":100,"filter":"metrics.metric_0 > %.4f and params.param_0 = \'category_%d\'",' ..
      '"order_by":["metrics.metric_1 DESC"]}',
      experiment, 0.45 + (count % 1000) / 10000, count % 10)
  else
    body = string.format('{"experiment_ids":["%s"],"max_results":100}', experiment)
  end
  return wrk.format("POST", "/api/2.0/mlflow/runs/search", headers, body)
end
