import { type Answer, type Client, entryPath } from './support/client.js';
import { expectError, expectViolation, expectWritten } from './support/expectations.js';
import { type Service, SHARED_LAYERS, startService } from './support/service.js';

// RFC 9110, section 13.

let service: Service;
let client: Client;
let keys = 0;

beforeAll(async () => {
  service = await startService();
  client = service.client;
});
afterAll(() => service.stop());

interface Stored {
  readonly at: string;
  readonly etag: string;
  readonly version: string;
  /** The ETag that the entry had before. */
  readonly oldEtag: string;
}

/** An entry that was written twice. */
async function stored(): Promise<Stored> {
  const at = entryPath(`entry:${keys++}`);
  const old = expectWritten(await client.put(at, { value: { n: 1 } }), 'created').metadata.version;
  const { version } = expectWritten(await client.put(at, { value: { n: 2 } }), 'updated').metadata;
  return { at, etag: `"${version}"`, version, oldEtag: `"${old}"` };
}

type Headers = Record<string, string>;

const WRITES: Record<string, (at: string, headers: Headers) => Promise<Answer>> = {
  PUT: (at, headers) => client.put(at, { value: { n: 3 } }, { headers }),
  POST: (at, headers) => client.post(at, { value: { n: 3 } }, { headers }),
  PATCH: (at, headers) => client.patch(at, { value: { n: 3 } }, { headers }),
  DELETE: (at, headers) => client.delete(at, { headers }),
  touch: (at, headers) => client.post(`${at}/touch`, { ttl: 100 }, { headers }),
};
const READS: Record<string, (at: string, headers: Headers) => Promise<Answer>> = {
  GET: (at, headers) => client.get(at, { headers }),
  HEAD: (at, headers) => client.send('HEAD', at, { headers }),
};

/** Header by the state of the entry, and whether a request with it goes through. */
const ON_AN_ENTRY: [name: string, headers: (entry: Stored) => Headers, holds: boolean][] = [
  ['If-Match with the ETag', ({ etag }) => ({ 'if-match': etag }), true],
  ['If-Match with another ETag', ({ oldEtag }) => ({ 'if-match': oldEtag }), false],
  [
    'If-Match with a list that has the ETag',
    ({ etag, oldEtag }) => ({ 'if-match': `${oldEtag},"x" ,\t${etag}` }),
    true,
  ],
  ['If-Match with a list that has it not', ({ oldEtag }) => ({ 'if-match': `"x", ${oldEtag}` }), false],
  ['If-Match with *', () => ({ 'if-match': '*' }), true],
  ['If-Match with the ETag as a weak one', ({ etag }) => ({ 'if-match': `W/${etag}` }), false],
  ['If-Match with a tag that holds a comma', ({ etag }) => ({ 'if-match': `"a,b", ${etag}` }), true],
  ['If-Match with a tag that no entry can have', () => ({ 'if-match': '"ÄÖ!#"' }), false],
  ['If-Match with an empty list', () => ({ 'if-match': '' }), false],
  ['If-Match with the ETag spelled otherwise', ({ etag }) => ({ 'if-match': etag.replace('"', '"0') }), false],
  ['If-None-Match with the ETag', ({ etag }) => ({ 'if-none-match': etag }), false],
  ['If-None-Match with another ETag', ({ oldEtag }) => ({ 'if-none-match': oldEtag }), true],
  ['If-None-Match with the ETag as a weak one', ({ etag }) => ({ 'if-none-match': `W/${etag}` }), false],
  ['If-None-Match with a list that has it', ({ etag }) => ({ 'if-none-match': `"a,b", W/"c",, ${etag}` }), false],
  ['If-None-Match with a list that has it not', ({ oldEtag }) => ({ 'if-none-match': `${oldEtag}, "c"` }), true],
  ['If-None-Match with *', () => ({ 'if-none-match': '*' }), false],
  ['both, and both hold', ({ etag, oldEtag }) => ({ 'if-match': etag, 'if-none-match': oldEtag }), true],
  ['both, and the first fails', ({ oldEtag }) => ({ 'if-match': oldEtag, 'if-none-match': '"x"' }), false],
  ['both, and the second fails', ({ etag }) => ({ 'if-match': etag, 'if-none-match': etag }), false],
];

describe.each(Object.entries(WRITES))('%s on an entry', (_method, write) => {
  test.each(ON_AN_ENTRY)('with %s', async (_name, headersFor, holds) => {
    const entry = await stored();
    const answer = await write(entry.at, headersFor(entry));
    if (holds) {
      expect([200, 204]).toContain(answer.status);
      return;
    }
    const details = expectError(answer, 412, 'PRECONDITION_FAILED');
    expect(details).toEqual({ key: decodeURIComponent(entry.at.slice('/v1/cache/'.length)) });
    const { json, headers } = await client.get(entry.at);
    expect([json, headers['etag']]).toEqual([expect.objectContaining({ value: { n: 2 } }), entry.etag]);
  });
});

describe.each(Object.entries(READS))('%s of an entry', (method, read) => {
  test.each(ON_AN_ENTRY)('with %s', async (_name, headersFor, holds) => {
    const entry = await stored();
    const headers = headersFor(entry);
    for (const layers of [['L1'], SHARED_LAYERS]) {
      if (layers === SHARED_LAYERS) await client.delete(`${entry.at}?cascade=false`);
      const answer = await read(entry.at, headers);
      const plain = await read(entry.at, {});
      if (holds) {
        expect([answer.status, answer.text]).toEqual([200, plain.text]);
        continue;
      }
      // If-Match comes first: where it fails, If-None-Match is not asked any more.
      const matches = !('if-match' in headers) || headers['if-match'] === entry.etag;
      expect(answer.status).toBe(matches ? 304 : 412);
      if (!matches && method === 'GET') expectError(answer, 412, 'PRECONDITION_FAILED');
      if (!matches) continue;
      expect(answer.text).toBe('');
      expect(answer.headers).toMatchObject({ etag: entry.etag, 'cache-control': plain.headers['cache-control'] });
      expect(layers).toContain(answer.headers['x-cache-layer']);
      expect(answer.headers['content-type']).toBeUndefined();
    }
  });
});

describe('where there is no entry', () => {
  const missing = () => entryPath(`missing:${keys++}`);

  test.each<[headers: Headers, status: number]>([
    [{ 'if-match': '*' }, 412],
    [{ 'if-match': '"x"' }, 412],
    [{ 'if-none-match': '*' }, 201],
    [{ 'if-none-match': '"x"' }, 201],
  ])('PUT with %j is %i', async (headers, status) => {
    const at = missing();
    const answer = await client.put(at, { value: 1 }, { headers });
    expect(answer.status).toBe(status);
    expect((await client.get(at)).status).toBe(status === 201 ? 200 : 404);
  });

  // Section 13.2.1: what would have failed without the precondition fails as it would have.
  const needAnEntry = Object.entries({ ...WRITES, ...READS }).filter(([method]) => method !== 'PUT');
  test.each(needAnEntry)('%s is 404 whatever its preconditions', async (_method, ask) => {
    for (const headers of [{ 'if-match': '*' }, { 'if-match': '"x"' }, { 'if-none-match': '*' }] as Headers[]) {
      expect((await ask(missing(), headers)).status).toBe(404);
    }
  });
});

test.each(['x', '"x', 'x"', '"a" "b"', 'w/"a"', '"a", b', '*, "a"', '"a\u00a0'])(
  '%j is no list of tags',
  async (value) => {
    const { at } = await stored();
    for (const [name, header] of [
      ['if-match', 'If-Match'],
      ['if-none-match', 'If-None-Match'],
    ] as const) {
      const rule = /must be \* or a list of entity tags in double quotes/;
      expectViolation(await client.get(at, { headers: { [name]: value } }), header, rule);
      expectViolation(await client.put(at, { value: 1 }, { headers: { [name]: value } }), header, rule);
    }
  },
);

describe('options.if_version', () => {
  const ask = {
    PUT: (at: string, version: string) => client.put(at, { value: { n: 3 }, options: { if_version: version } }),
    POST: (at: string, version: string) => client.post(at, { value: { n: 3 }, options: { if_version: version } }),
    PATCH: (at: string, version: string) => client.patch(at, { value: { n: 3 }, options: { if_version: version } }),
  };

  test.each(Object.entries(ask))('lets a %s through on that version and is 409 on another', async (_method, write) => {
    const { at, version } = await stored();
    const written = expectWritten(await write(at, version), 'updated');
    for (const other of [version, 'x', '*', `"${written.metadata.version}"`]) {
      const details = expectError(await write(at, other), 409, 'CACHE_KEY_CONFLICT');
      expect(details).toMatchObject({ if_version: other });
    }
    expectWritten(await write(at, written.metadata.version), 'updated');
  });

  test('is 409 for a PUT and 404 for the others where there is no entry', async () => {
    expectError(await ask.PUT(entryPath('void'), 'x'), 409, 'CACHE_KEY_CONFLICT');
    expectError(await ask.POST(entryPath('void'), 'x'), 404, 'CACHE_KEY_NOT_FOUND');
    expectError(await ask.PATCH(entryPath('void'), 'x'), 404, 'CACHE_KEY_NOT_FOUND');
  });

  test('and If-Match must both hold', async () => {
    const { at, etag, version, oldEtag } = await stored();
    const put = (ifMatch: string, if_version: string) =>
      client.put(at, { value: 1, options: { if_version } }, { headers: { 'if-match': ifMatch } });
    expectError(await put(oldEtag, version), 412, 'PRECONDITION_FAILED');
    expect([409, 412]).toContain((await put(etag, 'x')).status);
    expectWritten(await put(etag, version), 'updated');
  });
});

describe('of writers at the same time', () => {
  test('exactly one creates with If-None-Match: *', async () => {
    const at = entryPath('created-once');
    const create = (value: number) => client.put(at, { value }, { headers: { 'if-none-match': '*' } });
    const answers = await Promise.all(Array.from({ length: 32 }, (_, i) => create(i)));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array.from({ length: 31 }, () => 412)]);
    const winner = answers.findIndex(({ status }) => status === 201);
    expect((await client.get(at)).json).toEqual({ key: 'created-once', value: winner });
  });

  test.each([
    ['If-Match', 412, ({ at, etag }: Stored) => client.put(at, { value: 1 }, { headers: { 'if-match': etag } })],
    ['if_version', 409, ({ at, version }: Stored) => client.put(at, { value: 1, options: { if_version: version } })],
  ])('exactly one replaces a version with %s', async (_name, refused, write) => {
    const entry = await stored();
    const answers = await Promise.all(Array.from({ length: 32 }, () => write(entry)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 31 }, () => refused)]);
  });

  test('exactly one deletes a version', async () => {
    const { at, etag } = await stored();
    const remove = () => client.delete(at, { headers: { 'if-match': etag } });
    const answers = await Promise.all(Array.from({ length: 32 }, remove));
    expect(answers.filter(({ status }) => status === 204)).toHaveLength(1);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([204, 404]));
  });
});
