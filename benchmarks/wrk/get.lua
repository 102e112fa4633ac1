-- GET of the given paths, in turn.
-- Arguments: first number to count from, paths with their query strings.
require "result"

local count
local paths = {}

function init(args)
  count = tonumber(args[1])
  for i = 2, #args do paths[#paths + 1] = args[i] end
end

function request()
  count = count + 1
  return wrk.format("GET", paths[count % #paths + 1])
end
