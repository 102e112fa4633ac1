-- traces/search for 100 traces of one experiment. Filtered, every request asks for another threshold and category, so
-- that no answer can come from a cache of the one before; each matches about a twentieth of the traces.
-- Arguments: first number to count from, experiment id, "all" or "filtered".
require "result"

local count, experiment, filtered
local headers = { ["Content-Type"] = "application/json" }

function init(args)
  count, experiment, filtered = tonumber(args[1]), args[2], args[3] == "filtered"
end

function request()
  count = count + 1
  local rest = '"order_by":["timestamp_ms DESC"]'
  if filtered then
    rest = string.format(
      '"filter":"trace.execution_time_ms > %d AND tag.category = \'category_%d\'","order_by":["execution_time_ms DESC"]',
      450 + count % 100, count % 10)
  end
  local body = string.format(
    '{"locations":[{"type":"MLFLOW_EXPERIMENT","mlflow_experiment":{"experiment_id":"%s"}}],"max_results":100,%s}',
    experiment, rest)
  return wrk.format("POST", "/api/3.0/mlflow/traces/search", headers, body)
end
