import { HEADER } from '../entry.js';

/**
 * Runs mutations one after the other, as `decide` does for the other layers.
 *
 * KEYS: the revision counter, then the key of each mutation.
 * ARGV: for each mutation its kind (`p`, `r`, `t`), its condition (see `conditionArgument`), its ttl in milliseconds,
 * the first eight bytes of the entry and the payload.
 * Answers integers: the time of the server in milliseconds, then for each mutation its status, revision, version,
 * creation, update and expiry.
 *
 * Revisions come from a counter in Redis. Where that is lost (a flush, an eviction, a failover before the first
 * replication) it starts again from the time in microseconds, which is ahead of any count of single steps.
 * Expiry is by the clock of the server, so that the clocks of the nodes do not matter.
 */
export const APPLY_SCRIPT = `
local time = redis.call('TIME')
local nowMicros = time[1] * 1000000 + time[2]
local now = math.floor(nowMicros / 1000)
local count = #KEYS - 1
local last = redis.call('INCRBY', KEYS[1], count)
if last == count then
  last = nowMicros + count
  redis.call('SET', KEYS[1], string.format('%.0f', last))
end

local function stamp(version, revision, created, updated, expires)
  return struct.pack('>ddddd', version, revision, created, updated, expires)
end

local function holds(condition, version)
  for term in string.gmatch(condition, '[^;]+') do
    local kind, listed = string.sub(term, 1, 1), string.sub(term, 2)
    if kind == 'e' and not version then return false end
    if kind == 'a' and version then return false end
    if kind == 'i' or kind == 'n' then
      local found = false
      for wanted in string.gmatch(listed, '[^,]+') do
        if version and tonumber(wanted) == version then found = true end
      end
      if kind == 'i' and not found then return false end
      if kind == 'n' and found then return false end
    end
  end
  return true
end

local out = { now }
local function answer(status, revision, version, created, updated, expires)
  local n = #out
  out[n + 1], out[n + 2], out[n + 3] = status, revision, version or 0
  out[n + 4], out[n + 5], out[n + 6] = created or 0, updated or 0, expires or 0
end

for i = 1, count do
  local key = KEYS[i + 1]
  local kind, condition = ARGV[i * 5 - 4], ARGV[i * 5 - 3]
  local ttl = tonumber(ARGV[i * 5 - 2])
  local revision = last - count + i
  local header = redis.call('GETRANGE', key, 0, ${HEADER.bytes - 1})
  local version, created, updated, expires, _
  if #header == ${HEADER.bytes} then
    version, _, created, updated, expires = struct.unpack('>ddddd', header, ${HEADER.offsets.version + 1})
  end
  if condition ~= '' and not holds(condition, version) then
    answer(4, revision)
  elseif kind == 'r' then
    if redis.call('UNLINK', key) == 1 then answer(3, revision) else answer(5, revision) end
  elseif kind == 't' and not version then
    answer(5, revision)
  else
    if ttl >= 0 then expires = ttl > 0 and now + ttl or 0 end
    if kind == 't' then
      redis.call('SETRANGE', key, ${HEADER.offsets.version}, stamp(version, revision, created, updated, expires))
      if ttl > 0 then redis.call('PEXPIRE', key, ttl) elseif ttl == 0 then redis.call('PERSIST', key) end
      answer(2, revision, version, created, updated, expires)
    else
      local status = version and 1 or 0
      created = created or now
      expires = expires or 0
      local entry = ARGV[i * 5 - 1] .. stamp(revision, revision, created, now, expires) .. ARGV[i * 5]
      if ttl > 0 then
        redis.call('SET', key, entry, 'PX', ttl)
      elseif ttl == 0 then
        redis.call('SET', key, entry)
      else
        redis.call('SET', key, entry, 'KEEPTTL')
      end
      answer(status, revision, revision, created, now, expires)
    end
  end
end
return out
`;
