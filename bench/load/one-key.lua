-- GET of one key, over and over.
request = function()
  return wrk.format("GET", "/v1/cache/bench:0")
end
