-- Runs inside wrk: each connection waits (first argument: milliseconds) before its next request, so that the rate hardly
-- depends on how fast the answers are; and the result as one line of JSON.
local pause = 0

function init(arguments)
  pause = tonumber(arguments[1] or 0)
end

function delay()
  return pause
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "micros": %d, "p50_us": %d, "p99_us": %d, "p999_us": %d, "max_us": %d, ' ..
    '"bad_status": %d, "socket_errors": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    latency.max, e.status, e.connect + e.read + e.write + e.timeout))
end
