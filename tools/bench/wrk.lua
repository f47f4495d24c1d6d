-- Makes wrk save scores or read the list, and count only the answers that say that it worked.
-- The last line that it prints is the result as JSON.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

-- Runs in each thread. `good` and `bad` are global, so that `done` can read them.
function init(args)
  good, bad = 0, 0
  if args[1] == "save" then
    wrk.method = "POST"
    wrk.path = "/highscores"
    wrk.headers["Content-Type"] = "application/json"
    wrk.body = '{"name":"bench","cloud":"","zone":"","host":"","score":100,"level":1}'
    expected = '"rs":"success"'
  else
    wrk.path = "/highscores/list"
    expected = '"name":"bench"'
  end
end

function response(status, _, body)
  if status == 200 and body:find(expected, 1, true) then
    good = good + 1
  else
    bad = bad + 1
  end
end

function done(summary, latency)
  local worked, failed = 0, 0
  for _, thread in ipairs(threads) do
    worked = worked + thread:get("good")
    failed = failed + thread:get("bad")
  end
  local errors = summary.errors
  failed = failed + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('{"worked": %d, "failed": %d, "microseconds": %d, "p50": %d, "p99": %d}\n',
    worked, failed, summary.duration, latency:percentile(50), latency:percentile(99)))
end
