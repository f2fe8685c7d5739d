-- PUT of many keys in turn.
local path, query = os.getenv("BENCH_PATH") or "/v1/cache/bench:", os.getenv("BENCH_QUERY") or ""
local keys, next = tonumber(os.getenv("BENCH_KEYS")), 0
wrk.headers["Content-Type"] = "application/json"
wrk.body = os.getenv("BENCH_BODY")
request = function()
  next = (next + 1) % keys
  return wrk.format("PUT", path .. next .. query)
end
