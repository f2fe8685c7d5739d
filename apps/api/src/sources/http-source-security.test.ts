import type { Resolve } from '../platform/outgoing/guarded-agent.js';
import { type HttpOrigin, startHttpOrigin } from '../../test/support/http-origin.js';
import { openHttpSource } from './http-source.js';
import type { Source } from './source.js';
import { failure, httpDefinition, never } from '../../test/support/source-calls.js';

const KEY = 'book:1';
const METADATA = 'http://169.254.169.254/latest/meta-data/';

let origin: HttpOrigin;
let other: HttpOrigin;
let sources: Source[];
beforeEach(async () => {
  sources = [];
  [origin, other] = await Promise.all([startHttpOrigin(), startHttpOrigin()]);
});
afterEach(async () => {
  await Promise.all(sources.map((source) => source.close()));
  await Promise.all([origin.stop(), other.stop()]);
});

interface Settings {
  readonly allowedHosts?: readonly string[];
  readonly resolve?: Resolve;
  readonly http?: object;
}

function open(url: string, { allowedHosts = ['127.0.0.1'], resolve, http }: Settings = {}): Source {
  const definition = httpDefinition(url, { retries: { max: 0 }, ...(http && { http }) });
  const source = openHttpSource(definition, { allowedHosts, ...(resolve && { resolve }) });
  sources.push(source);
  return source;
}

const load = (source: Source) => source.load(KEY, undefined, never());
const redirect = (location: string, status = 302) => ({ status, headers: { location } });
const FORBIDDEN = { reason: 'forbidden_address' };

describe('an address that is not public', () => {
  test.each([
    '127.0.0.1',
    '127.1',
    '127.0.0.1.',
    '0x7f000001',
    '0x7F.0.0.0x1',
    '2130706433',
    '0177.0.0.1',
    '017700000001',
    '１２７.0.0.1',
    '127%2E0.0.1',
    '0.0.0.0',
    '[::]',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[0:0:0:0:0:ffff:7f00:0001]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
    'localhost',
  ])('is not connected to, spelled %s', async (host) => {
    const source = open(`http://${host}:${origin.port}/{key}`, { allowedHosts: [] });
    expect(await failure(load(source))).toMatchObject(FORBIDDEN);
    expect(origin.requests).toHaveLength(0);
  });

  test.each([
    METADATA,
    'http://[fd00::1]/',
    'http://[fe80::1]/',
    'http://10.0.0.1/',
    'http://0/',
    'http://2852039166/',
  ])('is refused: %s', async (url) =>
    expect(await failure(load(open(`${url}{key}`, { allowedHosts: [] })))).toMatchObject(FORBIDDEN),
  );

  test('is connected to when it is allowed by host, host:port, or network', async () => {
    for (const allowed of ['127.0.0.1', `127.0.0.1:${origin.port}`, '127.0.0.0/8']) {
      expect(await load(open(`${origin.url}/{key}`, { allowedHosts: [allowed] }))).toMatchObject({ status: 'found' });
    }
    const elsewhere = open(`${origin.url}/{key}`, { allowedHosts: [`127.0.0.1:${origin.port + 1}`] });
    expect(await failure(load(elsewhere))).toMatchObject(FORBIDDEN);
  });
});

describe('a name', () => {
  const url = () => `http://books.example:${origin.port}/{key}`;
  const inLoopback = ['127.0.0.0/8'];

  test('is looked up once per connection, and what was judged is what is connected to', async () => {
    const asked: string[] = [];
    const resolve: Resolve = (hostname) => {
      asked.push(hostname);
      // Whoever looked twice for one connection would find the second.
      return Promise.resolve(asked.length % 2 === 1 || origin.requests.length > 0 ? ['127.0.0.1'] : ['10.0.0.1']);
    };
    const source = open(url(), { allowedHosts: inLoopback, resolve });
    const closing = { headers: { connection: 'close' }, body: '1' };
    origin.answer(closing, closing);
    await load(source);
    await load(source);
    expect(asked).toEqual(['books.example', 'books.example']);
    expect(origin.requests.map(({ headers }) => headers.host)).toEqual(
      Array<string>(2).fill(`books.example:${origin.port}`),
    );
  });

  test('that leads to a private address by the next connection is refused then', async () => {
    const answers = [['127.0.0.1'], ['10.0.0.1']];
    const resolve: Resolve = () => Promise.resolve(answers.shift() ?? []);
    const source = open(url(), { allowedHosts: inLoopback, resolve });
    origin.answer({ headers: { connection: 'close' }, body: '1' });
    await load(source);
    expect(await failure(load(source))).toMatchObject(FORBIDDEN);
    expect(origin.requests).toHaveLength(1);
  });

  test('with one private address among public ones is refused', async () => {
    const resolve: Resolve = () => Promise.resolve(['1.1.1.1', '10.0.0.1']);
    expect(await failure(load(open(url(), { allowedHosts: [], resolve })))).toMatchObject(FORBIDDEN);
  });

  test('that is allowed may lead anywhere, but only it', async () => {
    const resolve: Resolve = () => Promise.resolve(['127.0.0.1']);
    const allowedHosts = [`books.example:${origin.port}`];
    expect(await load(open(url(), { allowedHosts, resolve }))).toMatchObject({ status: 'found' });
    const evil = open(`http://evil.example:${origin.port}/{key}`, { allowedHosts, resolve });
    expect(await failure(load(evil))).toMatchObject(FORBIDDEN);
  });
});

describe('a redirect', () => {
  const source = (http?: object) => open(`${origin.url}/books/{key}`, { http: { ...http } });

  test.each([301, 302, 303, 307, 308])('of a load (%d) is followed, relative or not', async (status) => {
    origin.answer(redirect('../a?b', status), redirect(`${other.url}/c`, status));
    other.answer({ body: '1' });
    expect(await load(source())).toMatchObject({ status: 'found' });
    expect([origin.requests[1]?.url, other.requests[0]?.url]).toEqual(['/a?b', '/c']);
  });

  test.each([METADATA, 'http://127.0.0.2:1/', 'http://0x7f000002/', 'http://[::1]/'])(
    'to %s is refused',
    async (location) => {
      origin.answer(redirect(location));
      expect(await failure(load(source()))).toMatchObject(FORBIDDEN);
    },
  );

  test.each(['file:///etc/passwd', 'gopher://127.0.0.1/', 'javascript:1', 'http://', ''])(
    'to %p is refused',
    async (location) => {
      origin.answer(...Array<object>(6).fill(redirect(location)));
      expect(await failure(load(source()))).toMatchObject({ reason: 'redirect' });
    },
  );

  test('is followed five times, not six', async () => {
    const hops = Array<object>(5).fill(redirect('/again'));
    origin.answer(...hops, { body: '1' });
    expect(await load(source())).toMatchObject({ status: 'found' });
    origin.answer(...hops, redirect('/again'), { body: '1' });
    expect(await failure(load(source()))).toMatchObject({ reason: 'redirect' });
    expect(origin.requests).toHaveLength(12);
  });

  test('to another origin takes no secret along, and the way back none either', async () => {
    origin.answer(redirect('/own'), redirect(`${other.url}/theirs`), { body: '1' });
    other.answer(redirect(`${origin.url}/back`));
    const headers = { 'X-Shop': 'north', Authorization: 'Basic plain', Cookie: 'a=b' };
    await load(source({ headers, secret_headers: { 'X-Token': 'secret' } }));
    const seen = [...origin.requests.slice(0, 2), ...other.requests, ...origin.requests.slice(2)].map(
      ({ headers: sent }) => [sent['x-shop'], sent['x-token'], sent.authorization, sent.cookie],
    );
    const all = ['north', 'secret', 'Basic plain', 'a=b'];
    const few = ['north', undefined, undefined, undefined];
    expect(seen).toEqual([all, all, few, few]);
  });

  test('of a write is followed only within the origin, and only where method and body stay', async () => {
    const value = { bytes: Buffer.from('1'), write: 'one', turn: 1 };
    const store = () => source({ store: {} }).store?.(KEY, value, never());
    origin.answer(redirect('/moved', 307), { status: 204 });
    await store();
    expect(origin.requests[1]).toMatchObject({ method: 'PUT', url: '/moved', body: '1' });
    for (const [location, status] of [
      ['/moved', 302],
      [`${other.url}/moved`, 308],
    ] as const) {
      origin.answer(redirect(location, status));
      expect(await failure(store())).toMatchObject({ reason: 'redirect' });
    }
    expect(other.requests).toHaveLength(0);
  });
});

test('no error tells a secret or the URL', async () => {
  origin.answer({ status: 401 }, { status: 500 });
  const source = open(`${origin.url}/books/{key}?token=hidden`, { http: { secret_headers: { 'x-token': 'secret' } } });
  for (const error of [await failure(load(source)), await failure(load(source))]) {
    expect(`${error.stack}${String(error.cause)}${JSON.stringify(error)}`).not.toMatch(/hidden|secret\b/);
  }
});
