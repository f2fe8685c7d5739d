-- POST of bulk gets of 100 keys each. BENCH_SPAN keys in turn: 100 are always the same, more than L1 holds are never there.
local span, next = tonumber(os.getenv("BENCH_SPAN")), 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function()
  local keys = {}
  for i = 1, 100 do
    keys[i] = '"bench:' .. (next + i - 1) % span .. '"'
  end
  next = (next + 100) % span
  return wrk.format(nil, "/v1/cache/bulk/get", nil, '{"keys":[' .. table.concat(keys, ",") .. "]}")
end
