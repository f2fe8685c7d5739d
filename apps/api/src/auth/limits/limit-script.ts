import { type RedisScript, redisScript } from '@cache-system/cache-engine';
import type { LimitStrategy } from '@cache-system/contracts';
import { FIXED_WINDOW_LUA } from './fixed-window.js';
import { LEAKY_BUCKET_LUA } from './leaky-bucket.js';
import type { Rule } from './rule.js';
import { SLIDING_WINDOW_LUA } from './sliding-window.js';
import { TOKEN_BUCKET_LUA } from './token-bucket.js';

/** What is asked of a tally in Redis, in one round trip. */
export interface Order {
  /** Requests that wait; they come first. */
  readonly need: number;
  /** Requests to be made later, as a lease, … */
  readonly ahead: number;
  /** … but not more than one in so many of those that are left: others want some, too. */
  readonly divisor: number;
  /** Requests of the last lease that were not made, and its stamp. */
  readonly back: number;
  readonly stamp: number;
}

/** What Redis says to it. Times are milliseconds from now. */
export interface Grant {
  /** Of those that wait and of those to come. */
  readonly granted: number;
  /** Requests that are left to everybody. */
  readonly left: number;
  /** Names what the granted ones were counted in; they are to be made within `lifeMs`. */
  readonly stamp: number;
  readonly lifeMs: number;
  /** Until there is one more; 0 when there is. */
  readonly waitMs: number;
  readonly resetMs: number;
}

/** What runs scripts: a Redis server or a cluster. */
export interface ScriptRunner {
  run<T>(script: RedisScript, keys: readonly string[], args: readonly string[]): Promise<T>;
}

/** Numbers come and go as text with all their digits, so that nothing is lost on the way. */
const BEGIN = `
local limit, window, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = tonumber(ARGV[9])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + time[2] / 1000
end
local state = {}
for word in string.gmatch(redis.call('GET', KEYS[1]) or '', '%S+') do state[#state + 1] = tonumber(word) end
`;

const END = `
local need, ahead, divisor = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local back = tonumber(ARGV[7])
local function left() return math.max(0, math.floor(free() + 0.000001)) end
local function text(numbers)
  for i = 1, #numbers do numbers[i] = string.format('%.17g', numbers[i]) end
  return table.concat(numbers, ' ')
end
if back > 0 then give_back(back, tonumber(ARGV[8])) end
local granted = math.min(need, left())
granted = granted + math.min(ahead, math.floor((left() - granted) / divisor))
if granted > 0 then spend(granted) end
if granted > 0 or back > 0 or went_back then
  local saved = text(save())
  -- A time that was given has nothing to do with the one by which Redis ends keys.
  if ARGV[9] then redis.call('SET', KEYS[1], saved)
  else redis.call('SET', KEYS[1], saved, 'PX', string.format('%.0f', math.max(1, math.ceil(reset())))) end
end
return text({granted, left(), stamp, life, wait(), reset()})
`;

const scriptOf = (lua: string) => redisScript(BEGIN + lua + END);

const SCRIPTS: Readonly<Record<LimitStrategy, RedisScript>> = {
  'token-bucket': scriptOf(TOKEN_BUCKET_LUA),
  'leaky-bucket': scriptOf(LEAKY_BUCKET_LUA),
  'fixed-window': scriptOf(FIXED_WINDOW_LUA),
  'sliding-window': scriptOf(SLIDING_WINDOW_LUA),
};

/**
 * Takes from the tally of a subject, by the clock of Redis. A test gives the time instead.
 * @throws what the runner throws
 */
export async function orderShared(
  runner: ScriptRunner,
  subject: string,
  { strategy, limit, windowMs, burst }: Rule,
  { need, ahead, divisor, back, stamp }: Order,
  nowMs?: number,
): Promise<Grant> {
  const args = [limit, windowMs, burst, need, ahead, divisor, back, stamp, ...(nowMs === undefined ? [] : [nowMs])];
  // Each strategy has a tally of its own: they do not understand each other's.
  const key = `rate:${strategy}:${subject}`;
  const reply = await runner.run<Buffer>(SCRIPTS[strategy], [key], args.map(String));
  const [granted = 0, left = 0, givenStamp = 0, lifeMs = 0, waitMs = 0, resetMs = 0] = String(reply)
    .split(' ')
    .map(Number);
  return { granted, left, stamp: givenStamp, lifeMs, waitMs, resetMs };
}
