-- GET of keys of which none has been asked for before.
local path, next = os.getenv("BENCH_PATH") .. os.time() .. "-", 0
request = function()
  next = next + 1
  return wrk.format("GET", path .. next)
end
