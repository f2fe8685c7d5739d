import { Agent, get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { entryPath } from './support/client.js';
import { eventually } from '../../../tools/harness/eventually.mjs';
import { type Service, startService } from './support/service.js';

/** So long a stop may take in which nothing is left to do; a connection that is waited for takes longer. */
const PROMPT_MS = 10_000;

let service: Service;
beforeEach(async () => {
  service = await startService({ LOG_LEVEL: 'info' });
});
afterEach(() => service.stop());

/** A connection on which bytes go out as they are given. */
class RawConnection {
  private received = '';

  private constructor(private readonly socket: Socket) {
    socket.setEncoding('utf8').on('data', (text: string) => (this.received += text));
    socket.on('error', () => undefined);
  }

  static open(url: string): Promise<RawConnection> {
    const { hostname, port } = new URL(url);
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname, () => resolve(new RawConnection(socket)));
      socket.once('error', reject);
    });
  }

  send(...lines: string[]): void {
    this.socket.write(lines.join('\r\n'));
  }

  async statusLine(): Promise<string> {
    await eventually('a status line comes', () => this.received.includes('\r\n') || this.socket.closed);
    return this.received.split('\r\n')[0] ?? '';
  }
}

/** A PUT whose body is on its way: the server waits for the last byte, which `finish` sends. */
async function slowPut({ api }: Service, key: string) {
  const connection = await RawConnection.open(api.url);
  const head = [
    `PUT ${entryPath(key)} HTTP/1.1`,
    'Host: x',
    `X-API-Key: ${api.apiKey}`,
    'Content-Type: application/json',
  ];
  connection.send(...head, 'Content-Length: 11', '', '{"value":1');
  return { connection, finish: () => connection.send('}') };
}

const signal = (name: NodeJS.Signals) => service.api.process.kill(name);
const hasExited = () => service.api.process.exitCode !== null || service.api.process.signalCode !== null;
const exitCode = async () => {
  await eventually('the process has ended', hasExited, PROMPT_MS);
  return service.api.process.exitCode;
};
const says = (text: string) => eventually(`it says ${text}`, () => service.api.output().includes(text));
const refusesConnections = () =>
  RawConnection.open(service.api.url).then(
    () => false,
    (error: unknown) => (error as NodeJS.ErrnoException).code === 'ECONNREFUSED',
  );

describe('a service that is told to stop', () => {
  test('is not ready at once, finishes what is in flight, refuses what is new and exits with 0', async () => {
    const probe = await RawConnection.open(service.api.url);
    probe.send('GET /health/ready HTTP/1.1', 'Host: x', '');
    const slow = await slowPut(service, 'slow');
    // Both have arrived once a request that was sent after them is answered.
    await service.client.get('/health/live');

    signal('SIGTERM');
    await says('stopping');
    probe.send('', '');
    expect(await probe.statusLine()).toMatch(/^HTTP\/1\.1 503 /);
    await eventually('new connections are refused', refusesConnections);
    expect(hasExited()).toBe(false);

    slow.finish();
    expect(await slow.connection.statusLine()).toMatch(/^HTTP\/1\.1 201 /);
    expect(await exitCode()).toBe(0);
  });

  test('lets a load balancer see that before it refuses anything', async () => {
    const seen: string[] = [];
    const watch = async (): Promise<void> => {
      for (;;) {
        const answer = await service.client.get('/health/ready').catch(() => undefined);
        seen.push(answer ? String(answer.status) : 'refused');
        if (!answer) return;
      }
    };
    const watching = watch();
    await eventually('it was ready', () => seen.includes('200'));
    signal('SIGTERM');
    await watching;
    expect(seen.filter((each, i) => each !== seen[i - 1])).toEqual(['200', '503', 'refused']);
    expect(await exitCode()).toBe(0);
  });

  test.each(['SIGTERM', 'SIGINT'] as const)('by %s exits with 0 and an empty standard error', async (name) => {
    await service.client.put(entryPath('k'), { value: 1 });
    signal(name);
    expect(await exitCode()).toBe(0);
    expect(service.api.output()).not.toMatch(/"level":(40|50|60)/);
  });

  test('does not wait for connections that nobody uses', async () => {
    const agent = new Agent({ keepAlive: true });
    await new Promise((resolve, reject) => {
      get(`${service.api.url}/health/live`, { agent }, (response) => response.resume().on('end', resolve)).on(
        'error',
        reject,
      );
    });
    // As browsers open them in advance.
    await Promise.all(Array.from({ length: 5 }, () => RawConnection.open(service.api.url)));
    signal('SIGTERM');
    expect(await exitCode()).toBe(0);
    agent.destroy();
  });

  test('twice stops at once', async () => {
    await slowPut(service, 'never-finished');
    await service.client.get('/health/live');
    signal('SIGINT');
    await says('stopping');
    signal('SIGINT');
    expect(await exitCode()).toBe(130);
  });
});

describe('a request that never ends', () => {
  test('does not keep the service from stopping for longer than the drain timeout', async () => {
    const impatient = await startService({ SERVER__DRAIN_TIMEOUT: '1' });
    await slowPut(impatient, 'never-finished');
    await impatient.client.get('/health/live');
    const startedAt = performance.now();
    expect(await impatient.stop().then(() => impatient.api.process.exitCode)).toBe(1);
    expect(performance.now() - startedAt).toBeGreaterThan(900);
    expect(performance.now() - startedAt).toBeLessThan(PROMPT_MS);
  });
});
