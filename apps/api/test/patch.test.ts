import { type Answer, type Client, entryPath, valueText } from './support/client.js';
import { expectError, expectViolation, expectWritten } from './support/expectations.js';
import { type Service, startService } from './support/service.js';

let service: Service;
let client: Client;
let keys = 0;

beforeAll(async () => {
  service = await startService();
  client = service.client;
});
afterAll(() => service.stop());

const MERGE_PATCH = { 'content-type': 'application/merge-patch+json' };
const JSON_PATCH = { 'content-type': 'application/json-patch+json' };

interface Patched {
  readonly answer: Answer;
  /** The value afterwards, as the text that is stored. */
  readonly text: string;
}

/** Stores a value, patches it, and reads it back from the shared layer. */
async function patched(valueBefore: string, body: unknown, headers: Record<string, string> = {}): Promise<Patched> {
  const key = `patched:${keys++}`;
  const at = entryPath(key);
  expectWritten(await client.put(at, `{"value":${valueBefore}}`), 'created');
  const answer = await client.patch(at, body, { headers });
  await client.delete(`${at}?cascade=false`);
  return { answer, text: valueText(await client.get(at), key) };
}

async function expectPatched(before: string, body: unknown, after: string, headers: Record<string, string> = {}) {
  const { answer, text } = await patched(before, body, headers);
  expectWritten(answer, 'updated');
  expect(text).toBe(after);
}

/** Not done, with a reason, and the value is what it was. */
async function expectRefused(before: string, body: unknown, reason: RegExp, headers: Record<string, string> = {}) {
  const { answer, text } = await patched(before, body, headers);
  const details = expectError(answer, 422, 'MERGE_NOT_POSSIBLE');
  expect(details['reason']).toMatch(reason);
  expect(text).toBe(before);
  return details;
}

describe('merge_strategy', () => {
  test('deep is the default and merges objects at every level', async () => {
    const before = '{"a":{"b":{"c":1,"d":2}},"list":[1,2]}';
    const value = { a: { b: { d: 3, e: 4 } }, list: [9], f: null };
    const after = '{"a":{"b":{"c":1,"d":3,"e":4}},"list":[9],"f":null}';
    await expectPatched(before, { value }, after);
    await expectPatched(before, { value, merge_strategy: 'deep' }, after);
  });

  test('shallow replaces top level members', async () => {
    const body = { value: { a: { d: 3 } }, merge_strategy: 'shallow' };
    await expectPatched('{"a":{"b":1},"z":0}', body, '{"a":{"d":3},"z":0}');
  });

  test('replace takes the new value whatever the old one was', async () => {
    await expectPatched('[1]', '{"value": "x" ,"merge_strategy":"replace"}', '"x"');
    await expectPatched('{"a":1}', '{"value":{"b" : 1.0},"merge_strategy":"replace"}', '{"b" : 1.0}');
  });

  test.each(['[1]', '"x"', '1', 'null'])('deep and shallow are 422 on %s', async (before) => {
    for (const merge_strategy of ['deep', 'shallow']) {
      await expectRefused(before, { value: { a: 1 }, merge_strategy }, /the value is not an object/);
      await expectRefused(
        '{}',
        `{"value":${before},"merge_strategy":"${merge_strategy}"}`,
        /the patch is not an object/,
      );
    }
  });

  test('what the patch does not name stays as it was written', async () => {
    const before = '{"big": 9007199254740993,"10":-0,"2":1.0,"e":1E400,"s":"\\u0041\\ud800","x":{ "y" : [ 1 ] }}';
    const after = '{"big":9007199254740993,"10":-0,"2":1.0,"e":1E400,"s":"\\u0041\\ud800","x":{ "y" : [ 1 ] },"n":1e0}';
    await expectPatched(before, '{"value":{"n":1e0}}', after);
  });

  test('names that javascript knows are names', async () => {
    const body = '{"value":{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}}';
    const after = '{"a":{},"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}';
    await expectPatched('{"a":{}}', body, after);
  });

  test('an unknown one is 400 and names those there are', async () => {
    const { answer } = await patched('{}', { value: {}, merge_strategy: 'smart' });
    expectViolation(answer, 'merge_strategy', /deep.*shallow.*replace/);
  });
});

describe('application/merge-patch+json (RFC 7396)', () => {
  test.each([
    ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
    ['{"a":"b"}', '{"a":null}', '{}'],
    ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
    ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
    ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
    ['["a","b"]', '["c","d"]', '["c","d"]'],
    ['{"a":"b"}', '["c"]', '["c"]'],
    ['{"a":"foo"}', 'null', 'null'],
    ['{"a":"foo"}', '"bar"', '"bar"'],
    ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
    ['[1,2]', '{"a":"b","c":null}', '{"a":"b"}'],
    ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
  ])('%s with %s is %s', async (before, patch, after) => {
    await expectPatched(before, patch, after, MERGE_PATCH);
  });
});

describe('application/json-patch+json (RFC 6902)', () => {
  test('applies every operation in order', async () => {
    const operations = [
      { op: 'test', path: '/a', value: 1 },
      { op: 'add', path: '/list/-', value: 3 },
      { op: 'add', path: '/list/0', value: 0 },
      { op: 'replace', path: '/a', value: { x: 1 } },
      { op: 'copy', from: '/a', path: '/b' },
      { op: 'move', from: '/m', path: '/moved' },
      { op: 'remove', path: '/gone' },
      { op: 'add', path: '/a~1b~0c', value: true },
    ];
    const after = '{"a":{"x":1},"list":[0,1,2,3],"b":{"x":1},"moved":[],"a/b~c":true}';
    await expectPatched('{"a":1,"list":[1,2],"m":[],"gone":0}', operations, after, JSON_PATCH);
  });

  test('applies all or nothing and names the operation', async () => {
    const operations = [
      { op: 'add', path: '/b', value: 1 },
      { op: 'test', path: '/a', value: 2 },
    ];
    const details = await expectRefused('{"a":1}', operations, /different/, JSON_PATCH);
    expect(details).toMatchObject({ index: 1, path: '/a' });
    await expectRefused('{"a":1}', [{ op: 'remove', path: '/x' }], /no member "x"/, JSON_PATCH);
    await expectRefused('[1]', [{ op: 'add', path: '/5', value: 1 }], /no place 5/, JSON_PATCH);
    await expectRefused('1', [{ op: 'add', path: '/a', value: 1 }], /without members/, JSON_PATCH);
    await expectRefused('{}', [{ op: 'remove', path: '/__proto__' }], /no member "__proto__"/, JSON_PATCH);
  });

  test('that copies itself again and again is refused in no time', async () => {
    const doubling = Array.from({ length: 100 }, (_, i) => ({ op: 'copy', from: '', path: `/${i}` }));
    await expectRefused('{"a":"0123456789"}', doubling, /copies too much|nested deeper/, JSON_PATCH);
  });

  test.each([
    ['{"op":"add"}', '', /array of operations/],
    ['[{"path":"/a"}]', '0', /`op` has to be a string/],
    ['[{"op":"test","path":"/a","value":1},{"op":"steal","path":"/a"}]', '1', /`op` is one of/],
    ['[{"op":"add","path":"/a"}]', '0', /needs a `value`/],
    ['[{"op":"add","path":"a","value":1}]', '0', /not a JSON Pointer/],
    ['[{"op":"move","path":"/a"}]', '0', /`from` has to be a string/],
    ['[{"op":"add","op":"remove","path":"/a","value":1}]', '0', /twice/],
    ['[1]', '0', /an operation is an object/],
    ['[', '', /not valid JSON/],
    ['', '', /a JSON body is required/],
    [`[${Array.from({ length: 1001 }, () => '{"op":"remove","path":"/a"}').join()}]`, '', /at most 1000 operations/],
  ])('%.60s is 400', async (body, field, rule) => {
    const { answer, text } = await patched('{"a":1}', body, JSON_PATCH);
    expectViolation(answer, field, rule);
    expect(text).toBe('{"a":1}');
  });
});

describe('PATCH', () => {
  test('is 404 where nothing is there and creates nothing', async () => {
    const at = entryPath('never-there');
    expectError(await client.patch(at, { value: {} }), 404, 'CACHE_KEY_NOT_FOUND');
    expectError(await client.patch(at, {}, { headers: MERGE_PATCH }), 404, 'CACHE_KEY_NOT_FOUND');
    expectError(await client.patch(at, [], { headers: JSON_PATCH }), 404, 'CACHE_KEY_NOT_FOUND');
    expectError(await client.get(at), 404, 'CACHE_KEY_NOT_FOUND');
  });

  test('keeps the expiry unless a ttl is given', async () => {
    const at = entryPath('expiry');
    const { metadata } = expectWritten(await client.put(`${at}?ttl=100`, { value: {} }), 'created');
    const patch = async (path: string, body: unknown, headers = {}) =>
      expectWritten(await client.patch(path, body, { headers }), 'updated').metadata;
    for (const [body, headers] of [
      [{ value: { a: 1 } }, {}],
      [{ b: 1 }, MERGE_PATCH],
      [[], JSON_PATCH],
    ] as const) {
      expect((await patch(at, body, headers)).expires_at).toBe(metadata.expires_at);
    }
    const ofOptions = await patch(at, { value: {}, options: { ttl: 500 } });
    expect(Date.parse(ofOptions.expires_at ?? '') - Date.parse(ofOptions.updated_at)).toBe(500_000);
    const ofQuery = await patch(`${at}?ttl=900`, { b: 2 }, MERGE_PATCH);
    expect(Date.parse(ofQuery.expires_at ?? '') - Date.parse(ofQuery.updated_at)).toBe(900_000);
    expect((await patch(`${at}?ttl=0`, { value: {} })).expires_at).toBeNull();
    expect((await patch(at, { value: {} })).expires_at).toBeNull();
  });

  test.each([
    ['deep', (i: number) => [{ value: { [`f${i}`]: i } }, {}] as const],
    ['shallow', (i: number) => [{ value: { [`f${i}`]: i }, merge_strategy: 'shallow' }, {}] as const],
    ['merge-patch', (i: number) => [{ [`f${i}`]: i }, MERGE_PATCH] as const],
    ['JSON Patch', (i: number) => [[{ op: 'add', path: `/f${i}`, value: i }], JSON_PATCH] as const],
  ])('64 at once of different fields lose none with %s', async (name, patchOf) => {
    const at = entryPath(`parallel:${name}`);
    await client.put(at, { value: { kept: true } });
    const patches = Array.from({ length: 64 }, (_, i) => patchOf(i));
    const answers = await Promise.all(patches.map(([body, headers]) => client.patch(at, body, { headers })));
    const versions = answers.map((answer) => expectWritten(answer, 'updated').metadata.version);
    expect(new Set(versions).size).toBe(64);
    const fields = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`f${i}`, i]));
    expect((await client.get(at)).json).toMatchObject({ value: { kept: true, ...fields } });
  });

  test('among puts and increments of other keys is as atomic', async () => {
    const at = entryPath('mixed');
    await client.put(at, { value: {} });
    const patches = Array.from({ length: 32 }, (_, i) => client.patch(at, { value: { [`f${i}`]: i } }));
    const others = Array.from({ length: 32 }, (_, i) => client.put(entryPath(`mixed:${i}`), { value: i }));
    for (const { status } of await Promise.all([...patches, ...others])) expect([200, 201]).toContain(status);
    const { json } = await client.get(at);
    expect(Object.keys((json as { value: object }).value)).toHaveLength(32);
  });
});
