local keys, next = tonumber(os.getenv("BENCH_KEYS")), 0
wrk.body = os.getenv("BENCH_BODY")
request = function()
  next = (next + 1) % keys
  return wrk.format("PUT", "/SET/bench:" .. next)
end
