import { entryPath } from './support/client.js';
import { exchange, openSocket, request } from './support/raw-http.js';
import { type Service, startService } from './support/service.js';
import { remember } from './support/unharmed.js';

let service: Service;
let note: Awaited<ReturnType<typeof remember>>;
beforeAll(async () => {
  service = await startService();
  note = await remember(service);
});
afterAll(async () => {
  try {
    await note.expectUnharmed();
  } finally {
    await service.stop();
  }
});

const TARGET = entryPath('smuggled');
const PUT = `PUT ${TARGET} HTTP/1.1`;
/** What an attacker wants to be taken for a request of its own. */
const hidden = () =>
  request('DELETE /v1/cache/witness HTTP/1.1', 'Host: x', `X-API-Key: ${service.api.apiKey}`, 'Connection: close');
const head = (...headers: string[]) =>
  request(PUT, 'Host: x', `X-API-Key: ${service.api.apiKey}`, 'Content-Type: application/json', ...headers);
const CHUNKED = 'Transfer-Encoding: chunked';
const body = '{"value":1}';
const chunk = `b\r\n${body}\r\n0\r\n\r\n`;

/** Where a proxy and this server might see different ends of a message (RFC 9112, sections 6.1, 6.3 and 7.1). */
const AMBIGUOUS: readonly [name: string, head: readonly string[], body: string][] = [
  ['a length and chunks', ['Content-Length: 11', CHUNKED], chunk],
  ['chunks and a length', [CHUNKED, 'Content-Length: 11'], chunk],
  ['chunks and no length at all after the name', [CHUNKED, 'Content-Length:'], chunk],
  ['two lengths', ['Content-Length: 11', 'Content-Length: 0'], body],
  ['the same length twice', ['Content-Length: 11', 'Content-Length: 11'], body],
  ['a list of lengths', ['Content-Length: 11, 11'], body],
  ['a length with a plus', ['Content-Length: +11'], body],
  ['a negative length', ['Content-Length: -1'], body],
  ['a length of negative nought', ['Content-Length: -0'], body],
  ['a hexadecimal length', ['Content-Length: 0xb'], body],
  ['a length with a point', ['Content-Length: 11.0'], body],
  ['a length with a gap', ['Content-Length: 1 1'], body],
  ['a length beyond 64 bits', ['Content-Length: 18446744073709551627'], body],
  ['a gap before the colon', ['Content-Length : 11'], body],
  ['a folded length', ['Content-Length:\r\n 11'], body],
  ['chunks of another name', ['Transfer-Encoding: xchunked'], chunk],
  ['chunks with something before', ['Transfer-Encoding: x chunked'], chunk],
  ['chunks with something after', ['Transfer-Encoding: chunked, identity'], chunk],
  ['chunks that are not the last coding', [CHUNKED, 'Transfer-Encoding: identity'], chunk],
  ['quoted chunks', ['Transfer-Encoding: "chunked"'], chunk],
  ['a control character before chunked', ['Transfer-Encoding: \x0bchunked'], chunk],
  ['a gap before the colon of chunks', ['Transfer-Encoding : chunked'], chunk],
  ['no coding at all', ['Transfer-Encoding:'], chunk],
  ['a chunk size with a sign', [CHUNKED], `+b\r\n${body}\r\n0\r\n\r\n`],
  ['a chunk size with 0x', [CHUNKED], `0xb\r\n${body}\r\n0\r\n\r\n`],
  ['no chunk size', [CHUNKED], `\r\n${body}\r\n0\r\n\r\n`],
  ['a chunk size beyond 64 bits', [CHUNKED], `1000000000000000b\r\n${body}\r\n0\r\n\r\n`],
  ['a chunk that is longer than it says', [CHUNKED], `5\r\n${body}\r\n0\r\n\r\n`],
  ['a chunk that ends in a bare LF', [CHUNKED], `b\n${body}\n0\n\n`],
  ['a chunk extension with a bare LF', [CHUNKED], `b;x\n${body}\r\n0\r\n\r\n`],
  ['a chunk size with a gap before it', [CHUNKED], ` b\r\n${body}\r\n0\r\n\r\n`],
  ['a header that ends in a bare CR', ['X-A: 1\rContent-Length: 11'], body],
];

describe('a request whose end is not clear', () => {
  test.each(AMBIGUOUS)(
    '%s is a 400 that ends the connection, and nothing behind it is done',
    async (_name, headers, rest) => {
      const answer = await exchange(service, head(...headers) + rest + hidden());
      expect(answer).toMatch(/^HTTP\/1\.1 400 /);
      expect(answer.match(/HTTP\/1\.1 \d/g)).toHaveLength(1);
      expect(answer).toMatch(/\r\nConnection: close\r\n/i);
      expect(answer).toContain('"code":"INVALID_REQUEST"');
      expect((await service.client.get(TARGET)).status).toBe(404);
    },
  );

  test.each([
    ['a header that is continued in the next line', request(PUT, 'Host: x', 'X-A: 1', ' Content-Length: 11')],
    ['a method in small letters', request('put /v1/cache/k HTTP/1.1', 'Host: x')],
    ['a path with a gap', request('GET /v1/cache/a b HTTP/1.1', 'Host: x')],
    ['no version', request('GET /v1/cache/k', 'Host: x')],
    ['two hosts', request('GET /v1/cache/k HTTP/1.1', 'Host: x', 'Host: y', 'Connection: close')],
    ['a NUL in a header', request('GET /v1/cache/k HTTP/1.1', 'Host: x', 'X-A: a\0b')],
    ['a NUL in the path', request('GET /v1/cache/a\0b HTTP/1.1', 'Host: x')],
    ['CR in a header', request('GET /v1/cache/k HTTP/1.1', 'Host: x', 'X-A: a\rb: c')],
  ])('%s: nothing behind it is done', async (name, text) => {
    const answer = await exchange(service, text + (name === 'two hosts' ? '' : hidden()));
    // Of two hosts the first counts; this server is one for all hosts, and nothing is chosen by it.
    expect(answer).toMatch(name === 'two hosts' ? /^HTTP\/1\.1 (?:400|401) / : /^HTTP\/1\.1 400 /);
    expect(answer.match(/HTTP\/1\.1 \d/g)).toHaveLength(1);
    expect((await service.client.get('/v1/cache/witness')).status).toBe(200);
  });
});

describe('what is clear is done', () => {
  test.each([
    ['chunks in capitals', ['Transfer-Encoding: CHUNKED'], chunk],
    ['a chunk extension', [CHUNKED], `b;name="value"\r\n${body}\r\n0\r\n\r\n`],
    ['trailers, which are ignored', [CHUNKED], `b\r\n${body}\r\n0\r\nX-API-Key: other\r\n\r\n`],
    ['zeros before a length', ['Content-Length: 0011'], body],
  ])('%s', async (name, headers, rest) => {
    const key = `clear ${name}`;
    const text = head(...headers, 'Connection: close').replace(TARGET, entryPath(key));
    expect(await exchange(service, text + rest)).toMatch(/^HTTP\/1\.1 201 /);
    expect((await service.client.get(entryPath(key))).json).toEqual({ key, value: 1 });
  });

  test('requests that are sent at once are answered in their order, each with its own', async () => {
    const { apiKey } = service.api;
    const keys = Array.from({ length: 50 }, (_, i) => `pipelined-${i}`);
    for (const key of keys) await service.client.put(entryPath(key), { value: key });
    const asked = keys.map((key, i) =>
      request(
        `GET ${entryPath(key)} HTTP/1.1`,
        'Host: x',
        `X-API-Key: ${apiKey}`,
        ...(i === keys.length - 1 ? ['Connection: close'] : []),
      ),
    );
    const answer = await exchange(service, asked.join(''), openSocket(service));
    expect([...answer.matchAll(/"key":"([^"]+)"/g)].map(([, key]) => key)).toEqual(keys);
  });
});
