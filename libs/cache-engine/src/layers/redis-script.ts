import { FLAG_CONDITIONAL, HEADER } from '../entry.js';
import { ITEM_BYTES, OWN_FOR_MS } from '../outbox.js';
import { SPACE } from './redis-space-script.js';

/** For so long a removed key remembers its last revision. More than clocks of a master and its successor differ. */
const REMEMBER_MS = 10_000;

/**
 * Runs mutations one after the other, as `decide` does for the other layers, and tells the other nodes in the same
 * step: nobody can see a change that was not announced. Each is a line of its mark (see `MARKS`), its revision and key.
 *
 * KEYS: the key of each mutation; then the names of the outbox (see `OutboxPlace`), where a mutation concerns it.
 * ARGV: the channel of the announcement and its head; two that `SPACE` tells of; then for each mutation its kind (see
 * `KINDS`), with `n` behind it where the write is to be noted in the outbox, and the bytes that its namespace may take,
 * where it is not to grow beyond; its condition (see
 * `conditionArgument`), its ttl in milliseconds, the first eight bytes of the entry, and its attributes and payload
 * (increment: the numbers `by initial initialTtl`; release: the token).
 * Answers for each mutation its status (see `STATUSES`), revision, version (of a full namespace: its bytes, or where the
 * sheets are on other servers those by which it would grow), creation, update and expiry; then what `account` was told,
 * and the time.
 *
 * Revisions are the time of the server in microseconds, or one more than the last revision of the key where that is
 * later: a hybrid logical clock (Kulkarni et al., OPODIS 2014) with the key as the unit. They need no key of their own,
 * so that each key of a cluster can be moved by itself, and do not repeat when a successor takes over that had not yet
 * heard of the last writes.
 * Expiry is by the clock of the server, so that the clocks of the nodes do not matter.
 */
export const APPLY_SCRIPT = `
${SPACE}
local ABSENT = string.char(${HEADER.layout}, ${HEADER.absent}, 0, 0, 0, 0, 0, ${HEADER.bytes})

local function stamp(version, revision, created, updated, expires)
  return struct.pack('>dddddddd', version, revision, created, updated, expires, 0, 0, 0)
end

-- The first bytes of an entry, saying in which tally it is.
local function tallied(preamble)
  return string.sub(preamble, 1, ${HEADER.offsets.tally}) .. string.char(newest) .. string.sub(preamble, ${HEADER.offsets.tally + 2}, ${HEADER.offsets.version})
end

local function isConditional(preamble)
  return math.floor(string.byte(preamble, ${HEADER.offsets.flags + 1}) / ${FLAG_CONDITIONAL}) % 2 == 1
end

local function isKnownAlive(key, version, kind, condition, preamble, body)
  if kind == 'f' or tonumber(string.match(condition, 'c(%d+)')) == version then return true end
  if kind ~= 'p' or not isConditional(preamble) then return false end
  local length = 2 + struct.unpack('>H', body)
  return redis.call('GETRANGE', key, ${HEADER.bytes}, ${HEADER.bytes} + length - 1) == string.sub(body, 1, length)
end

local function holds(condition, version, lease)
  for term in string.gmatch(condition, '[^;]+') do
    local kind, listed = string.sub(term, 1, 1), string.sub(term, 2)
    if kind == 'e' and not version then return false end
    if kind == 'a' and version then return false end
    if kind == 'l' and tonumber(listed) ~= lease then return false end
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

local out, changes = {}, {}
local function answer(status, revision, version, created, updated, expires)
  local n = #out
  out[n + 1], out[n + 2], out[n + 3] = status, revision, version or 0
  out[n + 4], out[n + 5], out[n + 6] = created or 0, updated or 0, expires or 0
end

-- By how many bytes a value of so many makes its namespace grow.
local function growthBy(key, version, length)
  return #key - 8 + ${HEADER.bytes} + length - (version and bytesOf(key) or 0)
end

-- Whether that is beyond what it may take. What gets smaller never is.
local function overfills(key, version, length, limit)
  local growth = growthBy(key, version, length)
  return growth > 0 and usedBy(key) + growth > limit
end

local count = (#ARGV - 4) / 5
local records, waiting, dead, due = KEYS[count + 1], KEYS[count + 2], KEYS[count + 3], KEYS[count + 4]

for i = 1, count do
  local key = KEYS[i]
  local at = i * 5
  local kind, isNoted, limit = string.sub(ARGV[at], 1, 1), string.sub(ARGV[at], 2, 2) == 'n', tonumber(string.match(ARGV[at], '%d+$'))
  local condition, ttl = ARGV[at + 1], tonumber(ARGV[at + 2])
  local preamble, payload = ARGV[at + 3], ARGV[at + 4]
  local header = redis.call('GETRANGE', key, 0, ${HEADER.bytes - 1})
  local known = #header == ${HEADER.bytes}
  local version, previous, created, updated, expires, lease, leaseEnds
  if known then
    version, previous, created, updated, expires, lease, leaseEnds = struct.unpack('>ddddddd', header, ${HEADER.offsets.version + 1})
    if string.byte(header, ${HEADER.offsets.format + 1}) == ${HEADER.absent} then version, created, updated, expires = nil, nil, nil, nil end
  end
  local revision = micros
  if previous and previous >= revision then revision = previous + 1 end
  local mark
  local status = version and 1 or 0
  if version and isConditional(header) and not isKnownAlive(key, version, kind, condition, preamble, payload) then kind = 'g' end
  if kind == 'i' and version and (condition == '' or holds(condition, version, lease)) then
    local text = redis.call('GETRANGE', key, ${HEADER.bytes}, ${HEADER.bytes + 16})
    if string.byte(header, ${HEADER.offsets.format + 1}) ~= 0 or struct.unpack('>I4', header, ${HEADER.offsets.length + 1}) ~= ${HEADER.bytes} or #text > 16 or not string.match(text, '^%-?%d+$') or #string.gsub(text, '-', '') > 15 then
      kind = 'u'
    else
      payload = string.format('%.0f', tonumber(text) + tonumber(string.match(payload, '^%S+')))
      if ttl < 0 then preamble = string.sub(header, 1, 8) end
    end
  elseif kind == 'i' then
    local by, initial, initialTtl = string.match(payload, '^(%S+) (%S+) (%S+)$')
    payload, ttl = string.format('%.0f', tonumber(by) + tonumber(initial)), tonumber(initialTtl)
  end
  local tally, bytesBefore, endsBefore = 0, 0, 0
  if version and newest > 0 and (kind == 'p' or kind == 'i' or kind == 'r' or kind == 't') then
    tally, bytesBefore, endsBefore = string.byte(header, ${HEADER.offsets.tally + 1}), bytesOf(key), ending(expires, previous)
  end
  -- Before anything is written: where a sheet cannot be read nothing is.
  if kind == 'p' or kind == 'i' or version and (kind == 'r' or kind == 't') then openSheets(key) end
  if kind == 'g' then
    answer(11, revision, version)
  elseif condition ~= '' and not holds(condition, version, lease) then
    answer(4, revision)
  elseif kind == 'u' then
    answer(6, revision)
  elseif kind == 'r' then
    if known then
      local told = redis.pcall('SET', key, ABSENT .. stamp(0, revision, 0, 0, 0), 'PX', ${REMEMBER_MS})
      -- A server that is full takes nothing, and yet what is in it must go.
      if type(told) == 'table' and told.err then redis.call('DEL', key) end
    end
    if version then account(key, tally, bytesBefore, endsBefore, 0, 0) end
    mark = version and 'd' or 'n'
    answer(version and 3 or 5, revision)
  elseif kind == 'l' then
    if version then
      answer(8, revision)
    elseif leaseEnds and leaseEnds > now then
      answer(10, revision, 0, 0, 0, leaseEnds)
    elseif ttl == 0 then
      answer(5, revision)
    else
      local held = struct.pack('>dddddddd', 0, revision, 0, 0, 0, revision, now + ttl, 0)
      -- Only the first write of a script is refused by a server that is full, if it takes room: what is to make room there
      -- must not wait for it.
      redis.call('PERSIST', key)
      redis.call('SET', key, ABSENT .. held, 'PX', ttl + ${REMEMBER_MS})
      mark = 'l'
      answer(7, revision)
    end
  elseif kind == 'f' then
    if lease and lease == tonumber(payload) then
      redis.call('SETRANGE', key, ${HEADER.offsets.leaseToken}, struct.pack('>dd', 0, 0))
      answer(9, revision)
    else
      answer(5, revision)
    end
  elseif kind == 't' and not version then
    answer(5, revision)
  elseif limit and newest > 0 and overfills(key, version, #payload, limit) then
    answer(12, revision, place == '' and growthBy(key, version, #payload) or usedBy(key))
  else
    local later = kind == 't' and string.find(condition, 'x', 1, true) and (expires == 0 or ttl > 0 and expires >= now + ttl)
    local keep = version and (ttl < 0 or later)
    if not keep then expires = ttl > 0 and now + ttl or 0 end
    if kind == 't' then
      mark = 't'
      redis.call('SETRANGE', key, 0, tallied(header) .. stamp(version, revision, created, updated, expires))
      account(key, tally, bytesBefore, endsBefore, bytesBefore, ending(expires, revision))
      if not keep then
        if ttl > 0 then redis.call('PEXPIRE', key, ttl) else redis.call('PERSIST', key) end
      end
      answer(2, revision, version, created, updated, expires)
    else
      mark = version and 'u' or 'c'
      created = created or now
      local entry = tallied(preamble) .. stamp(revision, revision, created, now, expires) .. payload
      -- Before the entry: where this is refused there must not be one without the other.
      if isNoted then
        redis.call('HSET', records, string.sub(key, 9), '\\0\\0' .. entry)
        redis.call('ZADD', waiting, 'NX', now, string.sub(key, 9))
        redis.call('ZADD', due, now + ${OWN_FOR_MS}, string.sub(key, 9))
        redis.call('ZREM', dead, string.sub(key, 9))
      end
      if keep then
        redis.call('SET', key, entry, 'KEEPTTL')
      elseif ttl > 0 then
        redis.call('SET', key, entry, 'PX', ttl)
      else
        redis.call('SET', key, entry)
      end
      account(key, tally, bytesBefore, endsBefore, #key - 8 + #entry, ending(expires, revision))
      answer(status, revision, revision, created, now, expires)
      if kind == 'i' then out[#out + 1] = tonumber(payload) end
    end
  end
  if mark then changes[#changes + 1] = string.format('\\n%s%.0f ', mark, revision) .. string.sub(key, 9) end
end
if ARGV[1] ~= '' then redis.call('PUBLISH', ARGV[1], ARGV[2] .. table.concat(changes)) end
settle()
if place == '' then for _, number in ipairs(moved) do out[#out + 1] = number end end
out[#out + 1] = now
return out
`;

/**
 * Stores copies of what a deeper layer has decided, unless something newer is known of the key.
 *
 * KEYS: the key of each copy. ARGV: for each its ttl in milliseconds (0: none), the time after which it is not to be
 * stored (0: none), and the whole record.
 * Answers for each 1 when stored, 0 when something newer was there or it is too late; and whether there had been an entry.
 */
export const COPY_SCRIPT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local out = {}
for i = 1, #KEYS do
  local ttl, notAfter, record = tonumber(ARGV[i * 3 - 2]), tonumber(ARGV[i * 3 - 1]), ARGV[i * 3]
  local header = redis.call('GETRANGE', KEYS[i], 0, ${HEADER.bytes - 1})
  local wanted = struct.unpack('>d', record, ${HEADER.offsets.revision + 1})
  local stored = (notAfter > 0 and now > notAfter) and 0 or 1
  local present = 0
  if #header == ${HEADER.bytes} then
    if string.byte(header, ${HEADER.offsets.format + 1}) ~= ${HEADER.absent} then present = 1 end
    local revision = struct.unpack('>d', header, ${HEADER.offsets.revision + 1})
    local epoch = struct.unpack('>d', header, ${HEADER.offsets.epoch + 1})
    if revision > wanted or (revision == wanted and epoch > struct.unpack('>d', record, ${HEADER.offsets.epoch + 1})) then stored = 0 end
  end
  if stored == 1 then
    if ttl > 0 then redis.call('SET', KEYS[i], record, 'PX', ttl) else redis.call('SET', KEYS[i], record) end
  end
  out[#out + 1] = stored
  out[#out + 1] = present
end
return out
`;

/**
 * Changes a record of the outbox, if it is still of the same version.
 *
 * KEYS: the names of the outbox. ARGV: the key, the version, what is to become of the record (see `OutboxChange`), the
 * failures that it begins with from now on, and when it is due again.
 * Answers 1 when done.
 */
export const CHANGE_OUTBOX_SCRIPT = `
local records, waiting, dead, due = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local key, version, to, failures, dueAt = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local record = redis.call('HGET', records, key)
if not record then return 0 end
local start = 3 + struct.unpack('>H', record)
if struct.unpack('>d', record, start + ${HEADER.offsets.version}) ~= version then return 0 end
-- First what takes no room: a server that is full looks at the first write alone.
redis.call('ZREM', due, key)
redis.call('ZREM', to == 'dead' and waiting or dead, key)
if to == 'gone' then
  redis.call('ZREM', waiting, key)
  redis.call('HDEL', records, key)
  return 1
end
local time = redis.call('TIME')
redis.call('HSET', records, key, failures .. string.sub(record, start))
redis.call('ZADD', to == 'dead' and dead or waiting, 'NX', time[1] * 1000 + math.floor(time[2] / 1000), key)
if to == 'waiting' then redis.call('ZADD', due, dueAt, key) end
return 1
`;

/**
 * Lists records of the outbox without their values.
 *
 * KEYS: the records, and one of the lists. ARGV: the lowest score, how many of those to pass over, and how many to list.
 * Answers for each its key, score, first bytes and length.
 */
export const LIST_OUTBOX_SCRIPT = `
local listed = redis.call('ZRANGE', KEYS[2], ARGV[1], '+inf', 'BYSCORE', 'LIMIT', ARGV[2], ARGV[3], 'WITHSCORES')
local out = {}
for i = 1, #listed, 2 do
  local record = redis.call('HGET', KEYS[1], listed[i]) or ''
  out[#out + 1] = { listed[i], listed[i + 1], string.sub(record, 1, ${ITEM_BYTES}), #record }
end
return out
`;
