import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../../../../tools/harness/eventually.mjs';

interface OriginAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | string;
  /** Without Content-Length. */
  readonly chunked?: boolean;
  readonly delayMs?: number;
  /** From here on nothing comes any more. */
  readonly never?: 'headers' | 'body';
}

interface OriginRequest {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly atMs: number;
}

export interface HttpOrigin {
  readonly url: string;
  readonly port: number;
  readonly requests: readonly OriginRequest[];
  /** What is answered next, in this order; `reset` breaks the connection. Then: 200 with JSON `null`. */
  answer(...answers: (OriginAnswer | 'reset')[]): void;
  received(requests: number): Promise<void>;
  stop(): Promise<void>;
}

/** A real HTTP server on 127.0.0.1 that answers what it is told. */
export async function startHttpOrigin(): Promise<HttpOrigin> {
  const requests: OriginRequest[] = [];
  let answers: (OriginAnswer | 'reset')[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      let body = '';
      for await (const chunk of request.setEncoding('utf8')) body += String(chunk);
      const { method, url, headers } = request;
      requests.push({ method, url, headers, body, atMs: performance.now() });
      const answer = answers.shift() ?? { body: 'null' };
      if (answer === 'reset') {
        request.socket.resetAndDestroy();
        return;
      }
      if (answer.never === 'headers') return;
      if (answer.delayMs !== undefined) await sleep(answer.delayMs);
      const bytes = Buffer.from(answer.body ?? '');
      const framing = answer.chunked === true || answer.never ? {} : { 'content-length': bytes.length };
      const status = answer.status ?? 200;
      const hasBody = status !== 204 && status !== 304;
      response.writeHead(status, { 'content-type': 'application/json', ...(hasBody && framing), ...answer.headers });
      if (hasBody) response.write(bytes);
      if (answer.never !== 'body') response.end();
    })();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requests,
    answer: (...next) => {
      answers = next;
    },
    received: (count) => eventually(`${count} requests`, () => requests.length >= count),
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
