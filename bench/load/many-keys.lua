-- GET of many keys in turn: more than L1 holds, so that a cache that drops the least recently used has none of them.
local keys, next = tonumber(os.getenv("BENCH_KEYS")), 0
request = function()
  next = (next + 1) % keys
  return wrk.format("GET", "/v1/cache/bench:" .. next)
end
