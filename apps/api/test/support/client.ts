import { Agent, request as httpRequest } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly bytes: Buffer;
  readonly text: string;
  /** The body as JSON; undefined when there is none. */
  readonly json: unknown;
}

export interface Ask {
  readonly headers?: Readonly<Record<string, string>>;
  /** A text or bytes as they are; anything else as JSON with its content type. */
  readonly body?: unknown;
}

/** Speaks HTTP without improving what it is given: paths, bodies and headers go out as they are. */
export class Client {
  private readonly agent;

  /** @param from the address that requests come from: any of 127.0.0.0/8 */
  constructor(
    readonly url: string,
    readonly headers: Readonly<Record<string, string>> = {},
    from?: string,
  ) {
    this.agent = new Agent({ keepAlive: true, maxSockets: 64, ...(from !== undefined && { localAddress: from }) });
  }

  /** The same client with another credential. */
  with(headers: Readonly<Record<string, string>>): Client {
    return new Client(this.url, headers);
  }

  send(method: string, path: string, { headers = {}, body }: Ask = {}): Promise<Answer> {
    const raw = typeof body === 'string' || body instanceof Uint8Array;
    const bytes =
      body === undefined ? undefined : raw ? Buffer.from(body as string) : Buffer.from(JSON.stringify(body));
    const { hostname, port } = new URL(this.url);
    return new Promise((resolve, reject) => {
      const request = httpRequest({
        agent: this.agent,
        hostname,
        port,
        method,
        path,
        headers: {
          ...this.headers,
          ...(bytes && { 'content-type': 'application/json' }),
          ...(bytes && !('transfer-encoding' in headers) && { 'content-length': String(bytes.length) }),
          ...headers,
        },
      });
      request.on('error', reject);
      request.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const all = Buffer.concat(chunks);
          const text = all.toString();
          const { statusCode: status = 0, headers: answered } = response;
          resolve({ status, headers: answered, bytes: all, text, json: parsed(text) });
        });
      });
      request.end(bytes);
    });
  }

  get = (path: string, ask?: Ask) => this.send('GET', path, ask);
  put = (path: string, body: unknown, ask?: Ask) => this.send('PUT', path, { ...ask, body });
  post = (path: string, body?: unknown, ask?: Ask) => this.send('POST', path, { ...ask, body });
  patch = (path: string, body: unknown, ask?: Ask) => this.send('PATCH', path, { ...ask, body });
  delete = (path: string, ask?: Ask) => this.send('DELETE', path, ask);

  close(): void {
    this.agent.destroy();
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Path of a key, percent-encoded. */
export function entryPath(key: string, rest = ''): string {
  return `/v1/cache/${encodeURIComponent(key)}${rest}`;
}

/** The value in the answer to a read, as the text that came. */
export function valueText(answer: Answer, key: string): string {
  const before = `{"key":${JSON.stringify(key)},"value":`;
  if (!answer.text.startsWith(before))
    throw new Error(`not the answer to a read of ${key}: ${answer.text.slice(0, 300)}`);
  return answer.text.slice(before.length, -1);
}
