import { HEADER } from '../entry.js';

/** Entries that end this close to each other are counted together, at least. */
const MIN_BUCKET_MS = 16;

/**
 * Counts what entries take, by namespace: see ADR 18. A tally is one count of everything. There is the `current` one, and
 * while all is counted anew, a `coming` one. Each entry says in its header in which it is contained: what is in the
 * coming one is in the current one, too. A sheet is what a tally has of one namespace, a hash: `bytes` of all that is
 * alive, those of them that end at a time under that time, and `first`, before which none of these comes.
 *
 * ARGV 3: before the names of sheets; empty where they are on other servers, and the script answers what is to be noted
 * in them. ARGV 4: which tallies there are then.
 */
export const SPACE = `
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
local place, tallies = ARGV[3], ARGV[4]
if place ~= '' then tallies = redis.call('GET', place .. 'tallies') or '' end
local current, coming = string.match(tallies, '^(%d+) (%d+)')
current, coming = tonumber(current or 0), tonumber(coming or 0)
local newest = coming > 0 and coming or current
local open = {}
if current > 0 then open[1] = current end
if coming > 0 then open[#open + 1] = coming end
local sheets, moved = {}, { 0, 0, 0, 0, 0 }

local function whole(number) return string.format('%.0f', number) end

-- When an entry is counted to end. The exponent of the time that was left when it last changed says how exactly: to less
-- than a hundredth of that. Both are in its header, so that it is found again.
local function ending(expires, revision)
  if expires == 0 then return 0 end
  local _, exponent = math.frexp(math.max(1, expires - revision / 1000))
  local width = math.max(${MIN_BUCKET_MS}, 2 ^ (exponent - 8))
  return math.floor(expires / width + 0.5) * width
end

local function openSheet(name)
  local found = redis.call('HMGET', name, 'bytes', 'first')
  local sheet = { name = name, bytes = tonumber(found[1] or 0), first = tonumber(found[2] or 0), passed = {}, changes = {} }
  if sheet.first == 0 or sheet.first > now then return sheet end
  local all = redis.call('HGETALL', name)
  sheet.first = 0
  for i = 1, #all, 2 do
    local ends = tonumber(all[i])
    if ends and ends <= now then
      sheet.passed[#sheet.passed + 1] = all[i]
      sheet.bytes = sheet.bytes - tonumber(all[i + 1])
    elseif ends and (sheet.first == 0 or ends < sheet.first) then
      sheet.first = ends
    end
  end
  return sheet
end

local function note(sheet, ends, bytes)
  if bytes == 0 or ends > 0 and ends <= now then return end
  sheet.changes[ends] = (sheet.changes[ends] or 0) + bytes
  sheet.bytes = sheet.bytes + bytes
end

local function closeSheet(sheet)
  local passed = sheet.passed
  -- First what takes no room: a server that is full looks at the first write of a script alone.
  for i = 1, #passed, 1000 do
    redis.call('HDEL', sheet.name, unpack(passed, i, math.min(i + 999, #passed)))
  end
  if #passed == 0 and next(sheet.changes) == nil then return end
  for ends, bytes in pairs(sheet.changes) do
    if ends > 0 and bytes ~= 0 then
      if redis.call('HINCRBY', sheet.name, whole(ends), whole(bytes)) == 0 then
        redis.call('HDEL', sheet.name, whole(ends))
      elseif sheet.first == 0 or ends < sheet.first then
        sheet.first = ends
      end
    end
  end
  redis.call('HSET', sheet.name, 'bytes', whole(sheet.bytes), 'first', whole(sheet.first))
end

local function sheetOf(tally, key)
  local name = place .. tally .. ':' .. string.match(key, '^[^:]*:([^:]*)')
  local sheet = sheets[name]
  if not sheet then
    sheet = openSheet(name)
    sheets[name] = sheet
  end
  return sheet
end

local function openSheets(key)
  if place == '' then return end
  for _, tally in ipairs(open) do sheetOf(tally, key) end
end

local function bytesOf(key) return #key - 8 + redis.call('STRLEN', key) end

-- Bytes that the namespace of a key takes.
local function usedBy(key)
  if place == '' or newest == 0 then return 0 end
  return sheetOf(open[1], key).bytes
end

-- Notes that an entry takes other bytes, or ends otherwise, than before: 0 bytes where there was none, or is none now.
local function account(key, mark, bytesBefore, endsBefore, bytes, ends)
  if newest == 0 then return end
  if place == '' then
    moved = { mark, bytesBefore, endsBefore, bytes, ends }
    return
  end
  for _, tally in ipairs(open) do
    local sheet = sheetOf(tally, key)
    if mark ~= 0 and (mark == tally or mark == coming) then note(sheet, endsBefore, -bytesBefore) end
    note(sheet, ends, bytes)
  end
end

local function settle()
  for _, sheet in pairs(sheets) do closeSheet(sheet) end
end
`;

/**
 * Counts entries into the coming tally, unless they are.
 *
 * KEYS: entries. ARGV: two that are not looked at, then as `SPACE`. Answers what is to be noted, where that is elsewhere.
 */
export const VISIT_SCRIPT = `
${SPACE}
for _, key in ipairs(coming > 0 and KEYS or {}) do
  local header = redis.pcall('GETRANGE', key, 0, ${HEADER.bytes - 1})
  local mark = type(header) == 'string' and #header == ${HEADER.bytes} and string.byte(header, ${HEADER.offsets.tally + 1})
  if mark and mark ~= coming and string.byte(header, ${HEADER.offsets.format + 1}) ~= ${HEADER.absent} then
    local revision = struct.unpack('>d', header, ${HEADER.offsets.revision + 1})
    local ends = ending(struct.unpack('>d', header, ${HEADER.offsets.expiresAt + 1}), revision)
    local bytes = bytesOf(key)
    redis.call('SETRANGE', key, ${HEADER.offsets.tally}, string.char(coming))
    account(key, mark, bytes, ends, bytes, ends)
  end
end
settle()
return moved
`;

/**
 * Notes in a sheet how many bytes more there are of those that end at a time.
 *
 * KEYS: the sheet. ARGV: a limit and the bytes of what is about to be written, which are noted only if there are not more
 * then (empty and 0: none); as `SPACE`; then each time and its bytes. Answers the bytes of the namespace, and 1 where there
 * was room.
 */
export const NOTE_SCRIPT = `
${SPACE}
local sheet, limit, claimed = openSheet(KEYS[1]), tonumber(ARGV[1]), tonumber(ARGV[2])
for i = 5, #ARGV, 2 do note(sheet, tonumber(ARGV[i]), tonumber(ARGV[i + 1])) end
local granted = limit and sheet.bytes + claimed <= limit and 1 or 0
if granted == 1 then note(sheet, 0, claimed) end
closeSheet(sheet)
return { sheet.bytes, granted }
`;

/** Bytes of a namespace, -1 where not all is counted yet. KEYS: any key of it. ARGV: as `VISIT_SCRIPT`. */
export const USED_SCRIPT = `
${SPACE}
if current == 0 then return -1 end
return math.max(0, usedBy(KEYS[1]))
`;

/** Changes which tallies there are, if they are still as expected. KEYS: where that is noted. ARGV: expected, and new. */
export const TALLIES_SCRIPT = `
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
`;
