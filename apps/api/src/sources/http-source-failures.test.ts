import { type HttpOrigin, startHttpOrigin } from '../../test/support/http-origin.js';
import { openHttpSource } from './http-source.js';
import { type Source, SourceTimeout, SourceUnavailable } from './source.js';
import {
  failure,
  FAST,
  httpDefinition,
  type HttpSettings,
  never,
  openLocalSource,
} from '../../test/support/source-calls.js';

const KEY = 'book:1';

let origin: HttpOrigin;
let sources: Source[];
beforeEach(async () => {
  sources = [];
  origin = await startHttpOrigin();
});
afterEach(async () => {
  await Promise.all(sources.map((source) => source.close()));
  await origin.stop();
});

function open(settings: HttpSettings = {}): Source {
  const source = openLocalSource(`${origin.url}/books/{suffix}`, settings);
  sources.push(source);
  return source;
}

const load = (source: Source) => source.load(KEY, undefined, never());

describe('attempts', () => {
  test.each([429, 502, 503, 504])('are repeated after %d, as often as configured', async (status) => {
    origin.answer(...Array<object>(3).fill({ status }), { body: '1' });
    expect(await failure(load(open(FAST)))).toBeInstanceOf(SourceUnavailable);
    expect(origin.requests).toHaveLength(3);
  });

  test('end with the first success', async () => {
    origin.answer({ status: 503 }, { body: '1' });
    expect(await load(open(FAST))).toMatchObject({ status: 'found' });
    expect(origin.requests).toHaveLength(2);
  });

  test.each([408, 500, 501])('are not repeated after %d', async (status) => {
    origin.answer({ status });
    expect(await failure(load(open(FAST)))).toBeInstanceOf(SourceUnavailable);
    expect(origin.requests).toHaveLength(1);
  });

  test('are repeated when there is no connection', async () => {
    let asked = 0;
    const resolve = () => {
      asked++;
      return Promise.reject(new Error('no such name'));
    };
    const definition = httpDefinition('http://books.example/{key}', FAST);
    const source = openHttpSource(definition, { allowedHosts: [], resolve });
    expect(await failure(load(source))).toBeInstanceOf(SourceUnavailable);
    expect(asked).toBe(3);
  });

  test('are repeated when the connection breaks before the answer', async () => {
    origin.answer('reset', { body: '1' });
    expect(await load(open(FAST))).toMatchObject({ status: 'found' });
  });

  test('wait as long as the source asks for', async () => {
    origin.answer({ status: 429, headers: { 'retry-after': '1' } }, { body: '1' });
    expect(await load(open(FAST))).toMatchObject({ status: 'found' });
    const [first, second] = origin.requests;
    expect(second!.atMs - first!.atMs).toBeGreaterThan(950);
  });

  test('are not repeated when that would be after the hard timeout', async () => {
    origin.answer({ status: 503, headers: { 'retry-after': '60' } });
    const startedAtMs = performance.now();
    const error = await failure(load(open({ ...FAST, hard_timeout_ms: 5000 })));
    expect(error).toMatchObject({ retryAfterSeconds: 60 });
    expect(performance.now() - startedAtMs).toBeLessThan(2000);
  });
});

describe('time', () => {
  const impatient = { ...FAST, hard_timeout_ms: 200, soft_timeout_ms: 100 };

  test.each([
    ['does not answer', { never: 'headers' as const }],
    ['does not end its answer', { never: 'body' as const, body: '{' }],
  ])('is up for a source that %s', async (_title, answer) => {
    origin.answer(answer);
    const startedAtMs = performance.now();
    expect(await failure(load(open(impatient)))).toBeInstanceOf(SourceTimeout);
    expect(performance.now() - startedAtMs).toBeLessThan(1500);
    expect(origin.requests).toHaveLength(1);
  });

  test('is up also for attempts that each are in time', async () => {
    origin.answer(...Array<object>(100).fill({ status: 503, delayMs: 60 }));
    const busy = { ...impatient, retries: { max: 10, backoff_ms: 1, max_backoff_ms: 1 } };
    expect(await failure(load(open(busy)))).toBeInstanceOf(SourceTimeout);
    expect(origin.requests.length).toBeLessThan(6);
  });

  test('of the caller counts: the call ends with what it was aborted with', async () => {
    origin.answer({ never: 'headers' });
    const caller = new AbortController();
    const reason = new Error('gone');
    const call = failure(open().load(KEY, undefined, caller.signal));
    await origin.received(1);
    caller.abort(reason);
    expect(await call).toBe(reason);
  });
});

describe('the breaker', () => {
  const fragile = (openMs: number) => open({ retries: { max: 0 }, breaker: { failures: 3, open_ms: openMs } });

  test('keeps calls from a source that has failed so often in a row', async () => {
    origin.answer({ status: 500 }, { body: '1' }, ...Array<object>(9).fill({ status: 500 }));
    const source = fragile(60_000);
    for (let call = 0; call < 10; call++) await failure(load(source));
    expect(origin.requests).toHaveLength(5);
    expect(await failure(load(source))).toBeInstanceOf(SourceUnavailable);
  });

  test('does not count refusals, what is missing, and callers who go away', async () => {
    origin.answer(...Array<object>(5).fill({ status: 403 }), ...Array<object>(5).fill({ status: 404 }));
    const source = fragile(60_000);
    for (let call = 0; call < 10; call++) await failure(load(source));
    origin.answer(...Array<object>(5).fill({ never: 'headers' }), { body: '1' });
    for (let call = 11; call <= 15; call++) {
      const caller = new AbortController();
      const loading = failure(source.load(KEY, undefined, caller.signal));
      await origin.received(call);
      caller.abort(new Error('gone'));
      await loading;
    }
    expect(await load(source)).toMatchObject({ status: 'found' });
  });

  test('lets one call through after a while, and closes when that succeeds', async () => {
    origin.answer(...Array<object>(3).fill({ status: 500 }), { status: 500 }, { body: '1' });
    const source = fragile(50);
    const outcomes: string[] = [];
    while (outcomes.at(-1) !== 'found') {
      outcomes.push(
        await load(source).then(
          ({ status }) => status,
          () => 'failed',
        ),
      );
      await new Promise(setImmediate);
    }
    expect(origin.requests).toHaveLength(5);
    expect(outcomes.length).toBeGreaterThan(5);
  });
});
