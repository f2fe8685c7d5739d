request = function()
  return wrk.format("GET", "/GET/bench:0.txt")
end
