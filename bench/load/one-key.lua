-- GET of one key, over and over.
local path = (os.getenv("BENCH_PATH") or "/v1/cache/bench:") .. "0"
request = function()
  return wrk.format("GET", path)
end
