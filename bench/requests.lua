-- Sends the requests of a file, each as it stands there. Arguments: the file, the length of one request in bytes.
local file, size

function init(arguments)
  file = assert(io.open(arguments[1], "rb"))
  size = tonumber(arguments[2])
  exhausted = 0
end

function request()
  local next = file:read(size)
  if not next then -- told at the end: a request that was sent before is a repeat, and no measure of anything
    exhausted = 1
    file:seek("set", 0)
    next = file:read(size)
  end
  return next
end

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function done(summary, latency, _)
  local again = 0
  for _, thread in ipairs(threads) do
    again = again + thread:get("exhausted")
  end
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format(
    'RESULT {"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "failed": %d, "exhausted": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    failed + summary.errors.status, again
  ))
end
