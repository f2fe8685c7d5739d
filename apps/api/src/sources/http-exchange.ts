import { type Agent, type Dispatcher, request } from 'undici';
import { AttemptFailed } from './calls.js';
import { type HeaderFields, headerText } from './freshness.js';
import { AddressForbidden, ConnectFailed } from '../platform/outgoing/guarded-agent.js';
import { SourceRefused, SourceUnavailable } from './source.js';

const MAX_REDIRECTS = 5;
const REDIRECTS = [301, 302, 303, 307, 308];
/** Redirects after which the method and the body stay the same (RFC 9110 §15.4). */
const REDIRECTS_OF_WRITES = [307, 308];
/** Failed before an answer began: a kept connection that the other side has closed meanwhile, as a rule. */
const LOST_CONNECTION = ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'];
/** Headers that tell who asks, though they were not called secret. */
const CREDENTIALS = ['authorization', 'cookie'];
/** Of an answer that nobody reads, to keep the connection; beyond that it is closed. */
const MAX_DRAINED_BYTES = 16_384;

export type Answer = Dispatcher.ResponseData;

export interface HttpRequest {
  readonly method: Dispatcher.HttpMethod;
  readonly url: URL;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Sent only to the origin of `url`. */
  readonly secretHeaders: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

/**
 * Sends a request and follows where it is redirected, each time to an allowed address only. A redirected write stays within
 * its origin; 303 is an answer to it, not a redirect.
 *
 * @throws AttemptFailed when nothing was answered, SourceRefused, the reason of `signal`
 */
export async function exchange(
  source: string,
  agent: Agent,
  { method, url: firstUrl, headers, secretHeaders, body }: HttpRequest,
  signal: AbortSignal,
): Promise<Answer> {
  let url = firstUrl;
  let sentHeaders: HttpRequest['headers'] = { ...headers, ...secretHeaders };
  for (let redirects = 0; ; redirects++) {
    const answer = await request(url, {
      dispatcher: agent,
      method,
      headers: sentHeaders,
      body: body ?? null,
      signal,
    }).catch((error: unknown) => {
      throw signal.aborted ? signal.reason : failureOf(source, error);
    });
    if (!REDIRECTS.includes(answer.statusCode) || (method !== 'GET' && answer.statusCode === 303)) return answer;
    discard(answer);
    const target = redirectTarget(answer, url, method);
    if (typeof target === 'string') throw new SourceRefused(source, 'redirect', target);
    if (redirects === MAX_REDIRECTS) throw new SourceRefused(source, 'redirect', 'redirected too often');
    // For good: who is sent elsewhere and back may have been sent by someone else.
    if (target.origin !== firstUrl.origin) sentHeaders = withoutCredentials(headers);
    url = target;
  }
}

/** Where to, or why not. */
function redirectTarget(answer: Answer, from: URL, method: string): URL | string {
  const location = headerText(answer.headers['location']);
  if (location === undefined || !URL.canParse(location, from.href)) return 'redirected to nowhere';
  const target = new URL(location, from);
  if (target.protocol !== 'https:' && target.protocol !== 'http:') return 'redirected to another scheme than http';
  if (from.protocol === 'https:' && target.protocol === 'http:') return 'redirected from https to http';
  if (method === 'GET') return target;
  if (!REDIRECTS_OF_WRITES.includes(answer.statusCode)) return `a write was answered with ${answer.statusCode}`;
  return target.origin === from.origin ? target : 'a write was redirected to another origin';
}

function withoutCredentials(headers: HttpRequest['headers']): HttpRequest['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !CREDENTIALS.includes(name)));
}

function failureOf(source: string, error: unknown): Error {
  if (error instanceof AddressForbidden) {
    return new SourceRefused(source, 'forbidden_address', error.message, { cause: error });
  }
  const { code } = error as { code?: string };
  const mayWork = error instanceof ConnectFailed || LOST_CONNECTION.includes(code ?? '');
  return mayWork ? new AttemptFailed(source, { cause: error }) : new SourceUnavailable(source, { cause: error });
}

/** Lets go of an answer whose body nobody wants. */
export function discard(answer: Answer): void {
  answer.body.dump({ limit: MAX_DRAINED_BYTES }).catch(() => undefined);
}

/** Seconds that the answer asks to wait (RFC 9110 §10.2.3). */
export function retryAfterSeconds(headers: HeaderFields): number | undefined {
  const text = headerText(headers['retry-after']);
  if (text === undefined) return undefined;
  if (/^\d+$/.test(text)) return Number(text);
  const waitMs = Date.parse(text) - Date.now();
  return Number.isNaN(waitMs) ? undefined : Math.max(waitMs / 1000, 0);
}
