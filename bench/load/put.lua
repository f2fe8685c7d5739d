-- PUT of many keys in turn.
local keys, next = tonumber(os.getenv("BENCH_KEYS")), 0
wrk.headers["Content-Type"] = "application/json"
wrk.body = os.getenv("BENCH_BODY")
request = function()
  next = (next + 1) % keys
  return wrk.format("PUT", "/v1/cache/bench:" .. next)
end
