import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { type Answer, type Client, entryPath, valueText } from './support/client.js';
import { expectError } from './support/expectations.js';
import { type Service, startService } from './support/service.js';
import { remember } from './support/unharmed.js';
import type { ErrorCode } from '@cache-system/contracts';

const FOLDER = path.resolve(__dirname, '../../../../shared/data/bad-input');
const NAUGHTY_STRINGS = path.join(FOLDER, 'blns/blns.json');
const JSON_TEXTS = path.join(FOLDER, 'jsontestsuite/test_parsing');
/** Unicode's category Cc. */
const CONTROL_CHARACTER = /\p{Cc}/u;

/** The data lies beside the repository and may be absent. */
const where = existsSync(FOLDER) ? describe : describe.skip;

let service: Service;
let client: Client;
let note: Awaited<ReturnType<typeof remember>>;

beforeAll(async () => {
  service = await startService();
  client = service.client;
  note = await remember(service);
});
afterAll(async () => {
  try {
    await note.expectUnharmed();
  } finally {
    await service.stop();
  }
});

/** Any error that is the fault of the caller. */
function expectClientError(answer: Answer): void {
  expect(Math.floor(answer.status / 100)).toBe(4);
  const { error } = answer.json as { error: { code: ErrorCode } };
  expectError(answer, answer.status, error.code);
}

where('big list of naughty strings', () => {
  const strings = existsSync(NAUGHTY_STRINGS)
    ? (JSON.parse(readFileSync(NAUGHTY_STRINGS, 'utf8')) as string[]).map((text, index) => ({ text, index }))
    : [];

  test('each comes back as a value just as it was', async () => {
    expect(strings.length).toBeGreaterThan(500);
    for (const { text, index } of strings) {
      const key = `blns:${index}`;
      expect((await client.put(entryPath(key), { value: text })).status).toBe(201);
      await client.delete(`${entryPath(key)}?cascade=false`);
      expect((await client.get(entryPath(key))).json).toEqual({ key, value: text });
    }
  });

  test('each comes back as a name in a value just as it was', async () => {
    const value = Object.fromEntries(strings.map(({ text, index }) => [text, index]));
    await client.put(entryPath('blns'), { value });
    expect((await client.get(entryPath('blns'))).text).toBe(`{"key":"blns","value":${JSON.stringify(value)}}`);
    const patch = Object.fromEntries(strings.map(({ text, index }) => [text, -1 - index]));
    expect((await client.patch(entryPath('blns'), { value: patch })).status).toBe(200);
    expect((await client.get(entryPath('blns'))).json).toEqual({ key: 'blns', value: patch });
  });

  test('each is a key of its own or is refused with the rule', async () => {
    const good = new Map<string, number>();
    for (const { text, index } of strings) {
      const size = Buffer.byteLength(text);
      const answer = await client.put(entryPath(text), { value: index });
      if (size === 0) expectClientError(answer);
      else if (size > 512 || CONTROL_CHARACTER.test(text)) expectError(answer, 400, 'INVALID_KEY_FORMAT');
      else {
        expect(answer.status).toBe(good.has(text) ? 200 : 201);
        good.set(text, index);
      }
    }
    expect(good.size).toBeGreaterThan(450);
    for (const [key, value] of good) expect((await client.get(entryPath(key))).json).toEqual({ key, value });
  });

  test('each is harmless in a query and in headers', async () => {
    for (const { text } of strings) {
      const encoded = encodeURIComponent(text);
      expectClientError(await client.put(`${entryPath('k')}?ttl=${encoded}x`, { value: 1 }));
      expectClientError(await client.get(`${entryPath('k')}?${encoded}x`));
      // What a header cannot carry never leaves the client.
      if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(text)) continue;
      const headers = { 'x-request-id': text, 'if-match': text, 'x-cache-namespace': text, accept: 'application/json' };
      expectClientError(await client.get(entryPath('not-there'), { headers }));
    }
  });
});

where('JSON parsing test suite', () => {
  const files = existsSync(JSON_TEXTS) ? readdirSync(JSON_TEXTS).filter((name) => name.endsWith('.json')) : [];
  const put = (key: string, text: Buffer) =>
    client.put(entryPath(key), Buffer.concat([Buffer.from('{"value": '), text, Buffer.from('}')]));

  async function expectKept(key: string, answer: Answer, text: Buffer): Promise<void> {
    expect(answer.status).toBe(201);
    const expected = text.toString().replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, '');
    expect(valueText(await client.get(entryPath(key)), key)).toBe(expected);
    await client.delete(`${entryPath(key)}?cascade=false`);
    expect(valueText(await client.get(entryPath(key)), key)).toBe(expected);
  }

  test('is there as a whole', () => expect(files.length).toBeGreaterThan(300));

  test.each(files.filter((name) => name.startsWith('y_')))('%s is kept byte for byte', async (name) => {
    const text = readFileSync(path.join(JSON_TEXTS, name));
    await expectKept(name, await put(name, text), text);
  });

  test.each(files.filter((name) => name.startsWith('n_')))('%s is refused', async (name) => {
    const text = readFileSync(path.join(JSON_TEXTS, name));
    expectError(await put(name, text), 400, 'INVALID_REQUEST');
    expectError(await client.get(entryPath(name)), 404, 'CACHE_KEY_NOT_FOUND');
  });

  test.each(files.filter((name) => name.startsWith('i_')))('%s is kept byte for byte or refused', async (name) => {
    const text = readFileSync(path.join(JSON_TEXTS, name));
    const answer = await put(name, text);
    if (answer.status >= 300) expectError(answer, 400, 'INVALID_REQUEST');
    else await expectKept(name, answer, text);
  });

  test('as a merge patch is taken where it is JSON and refused where not', async () => {
    const headers = { 'content-type': 'application/merge-patch+json' };
    await client.put(entryPath('patched'), { value: {} });
    for (const name of files) {
      const answer = await client.patch(entryPath('patched'), readFileSync(path.join(JSON_TEXTS, name)), { headers });
      if (name.startsWith('y_')) expect([name, answer.status]).toEqual([name, 200]);
      else if (name.startsWith('n_') || answer.status !== 200) expectError(answer, 400, 'INVALID_REQUEST');
    }
  });
});
