import { errorSchema } from '@cache-system/contracts';
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

/** Sends the beginning of something and goes away. */
function abandon(sent: string | Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = openSocket(service).on('close', () => resolve());
    socket.write(sent, () => socket.resetAndDestroy());
  });
}

const CLOSE = 'Connection: close';

describe('what is no HTTP request gets the envelope of every error', () => {
  const unreadable = [400, 'INVALID_REQUEST'] as const;
  test.each<[name: string, sent: string | Buffer, status: number, code: string]>([
    ['a line of text', 'hello\r\n\r\n', ...unreadable],
    ['a TLS hello', Buffer.from('16030100c8010000c40303', 'hex'), ...unreadable],
    ['zeros', Buffer.alloc(64), ...unreadable],
    ['a version that is none', request('GET / HTTP/9.9', 'Host: x'), ...unreadable],
    ['a method that is none', request('FETCH /v1/cache/k HTTP/1.1', 'Host: x'), ...unreadable],
    [
      'a path with raw bytes',
      Buffer.from(request('GET /v1/cache/\xff\xfe HTTP/1.1', 'Host: x'), 'latin1'),
      ...unreadable,
    ],
    ['a header without a colon', request('GET / HTTP/1.1', 'Host: x', 'nonsense'), ...unreadable],
    ['a header with a control character', request('GET / HTTP/1.1', 'Host: x', 'X-A: \x01'), ...unreadable],
    ['a length that is none', request('PUT /v1/cache/k HTTP/1.1', 'Host: x', 'Content-Length: ten'), ...unreadable],
    ['a negative length', request('PUT /v1/cache/k HTTP/1.1', 'Host: x', 'Content-Length: -1'), ...unreadable],
    [
      'two lengths',
      request('PUT /v1/cache/k HTTP/1.1', 'Host: x', 'Content-Length: 1', 'Content-Length: 2'),
      ...unreadable,
    ],
    [
      'a length and chunks, as smugglers send',
      `${request('PUT /v1/cache/k HTTP/1.1', 'Host: x', 'Content-Length: 5', 'Transfer-Encoding: chunked')}0\r\n\r\n`,
      ...unreadable,
    ],
    ['no host', request('GET /v1/cache/k HTTP/1.1', CLOSE), ...unreadable],
    ['a header of 20 KB', request('GET / HTTP/1.1', 'Host: x', `X-A: ${'a'.repeat(20_000)}`), 413, 'PAYLOAD_TOO_LARGE'],
    [
      '1,000 headers',
      request('GET / HTTP/1.1', 'Host: x', ...Array<string>(1000).fill('X-Abcdefgh: 12345678')),
      413,
      'PAYLOAD_TOO_LARGE',
    ],
    ['a URL of 20 KB', request(`GET /v1/cache/${'a'.repeat(20_000)} HTTP/1.1`, 'Host: x'), 413, 'PAYLOAD_TOO_LARGE'],
    ['an asterisk for a path', request('GET * HTTP/1.1', 'Host: x', CLOSE), 404, 'ROUTE_NOT_FOUND'],
    [
      'an expectation nobody knows',
      request('GET /v1/cache/k HTTP/1.1', 'Host: x', 'Expect: rain', CLOSE),
      401,
      'AUTHENTICATION_FAILED',
    ],
  ])('%s', async (_name, sent, status, code) => {
    const [head = '', body = ''] = (await exchange(service, sent)).split('\r\n\r\n');
    expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(head).toMatch(/^X-Request-Id: \S+$/im);
    expect(head).toMatch(/^X-Response-Time: \d+ms$/im);
    expect(head).toMatch(/^Connection: close$/im);
    expect(errorSchema.parse(JSON.parse(body)).error.code).toBe(code);
  });

  test('a request of HTTP 1.0 needs no host', async () => {
    const sent = request('GET /v1/cache/witness HTTP/1.0', `X-API-Key: ${service.api.apiKey}`);
    expect(await exchange(service, sent)).toMatch(/^HTTP\/1\.1 200 /);
  });
});

test('callers that hang up halfway do no harm', async () => {
  const head = (length: number) =>
    request(
      'PUT /v1/cache/half HTTP/1.1',
      'Host: x',
      `X-API-Key: ${service.api.apiKey}`,
      'Content-Type: application/json',
      `Content-Length: ${length}`,
    );
  const beginnings = [
    '',
    'GET',
    'GET / HTTP/1.1\r\nHost:',
    head(100),
    `${head(100)}{"value":"`,
    `${head(900_000)}{"value":"${'x'.repeat(500_000)}`,
  ];
  for (let round = 0; round < 20; round++) await Promise.all(beginnings.map(abandon));
  expect((await service.client.get(entryPath('half'))).status).toBe(404);
});

test('CONNECT ends the connection', async () => {
  expect(await exchange(service, request('CONNECT example.com:443 HTTP/1.1', 'Host: example.com:443'))).not.toMatch(
    / 200 /,
  );
});
