import { createHash } from 'node:crypto';
import { addressPolicy } from '../platform/outgoing/allowed-hosts.js';
import { AttemptFailed, Calls } from './calls.js';
import { headerText, ttlOf } from './freshness.js';
import { guardedAgent, type Resolve, resolveBySystem } from '../platform/outgoing/guarded-agent.js';
import { type Answer, discard, exchange, type HttpRequest, retryAfterSeconds } from './http-exchange.js';
import { ACCEPT_ENCODING, BodyTooLarge, readBody, UnknownEncoding } from './response-body.js';
import { type LoadResult, type Source, SourceRefused, SourceUnavailable, type StoredValue } from './source.js';
import type { HttpSourceDefinition } from '@cache-system/contracts';
import { urlTemplate, type UrlOf } from './url-template.js';

/** Methods that may be sent twice (RFC 9110 §9.2.2). */
const IDEMPOTENT = ['GET', 'PUT', 'DELETE'];
const WORTH_ANOTHER_TRY = [429, 502, 503, 504];
/** The answer says of itself that it does not last. */
const TRANSIENT = [408, 425];
/** Codes of zlib's errors, for gzip and for Brotli. */
const DECODING_FAILED = /^(Z_|ERR__?ERROR|ERR_BROTLI)/;
const GONE = [404, 410];
const ENTITY_TAG = /^(W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/;

interface HttpSourceOptions {
  /** `cache.sources.allowed_hosts` */
  readonly allowedHosts: readonly string[];
  readonly resolve?: Resolve;
}

/** A source behind HTTP. Nothing is connected to before the first call. */
export function openHttpSource(
  definition: HttpSourceDefinition,
  { allowedHosts, resolve = resolveBySystem }: HttpSourceOptions,
): Source {
  const { name, prefix, http, hard_timeout_ms } = definition;
  const agent = guardedAgent({
    policy: addressPolicy(allowedHosts),
    resolve,
    connections: http.max_connections,
    connectTimeoutMs: http.connect_timeout_ms,
    idleTimeoutMs: hard_timeout_ms,
    maxBytes: http.max_bytes,
  });
  const calls = new Calls(definition);
  const headers = inLowerCase(http.headers);
  const secretHeaders = inLowerCase(http.secret_headers);

  const call = <T>(
    request: Pick<HttpRequest, 'method' | 'headers' | 'body'>,
    url: URL,
    read: (answer: Answer) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> => {
    const whole = { ...request, url, headers: { ...headers, ...request.headers }, secretHeaders };
    const attempt = async (ending: AbortSignal) => {
      try {
        return await read(answered(name, await exchange(name, agent, whole, ending)));
      } catch (error) {
        throw ending.aborted ? ending.reason : error;
      }
    };
    return calls.run(attempt, IDEMPOTENT.includes(request.method), signal);
  };

  const urls = urlTemplate(http.url, prefix);
  const source: Source = {
    name,
    contentType: http.content_type,
    load: async (key, known, signal) => {
      const etag = known?.etag;
      const asked = {
        method: 'GET' as const,
        headers: {
          accept: headers['accept'] ?? http.content_type,
          'accept-encoding': ACCEPT_ENCODING,
          ...(etag !== undefined && { 'if-none-match': etag }),
        },
      };
      return call(asked, urlFor(name, urls, key), (answer) => loaded(definition, answer, etag !== undefined), signal);
    },
    close: () => agent.destroy(),
  };
  if (http.store) {
    const { method, url } = http.store;
    const urlsOfStore = url === undefined ? urls : urlTemplate(url, prefix);
    source.store = async (key, value, signal) => {
      const request = { method, headers: headersOf(definition, key, value), body: value.bytes };
      await call(request, urlFor(name, urlsOfStore, key), (answer) => written(name, answer, []), signal);
    };
  }
  if (http.remove) {
    const { method, url } = http.remove;
    const urlsOfRemove = url === undefined ? urls : urlTemplate(url, prefix);
    source.remove = async (key, turn, signal) => {
      const read = (answer: Answer) => written(name, answer, GONE);
      await call({ method, headers: { [TURN_HEADER]: String(turn) } }, urlFor(name, urlsOfRemove, key), read, signal);
    };
  }
  return source;
}

function urlFor(source: string, urls: UrlOf, key: string): URL {
  const url = urls(key);
  if (!url) throw new SourceRefused(source, 'key', 'the key cannot be put into its URL');
  return url;
}

/** By which the source can tell what comes too late. */
const TURN_HEADER = 'x-cache-version';

/** So that the source recognises a write that is repeated (draft-ietf-httpapi-idempotency-key-header). */
function headersOf(
  { name, http }: HttpSourceDefinition,
  key: string,
  { write, turn }: StoredValue,
): Record<string, string> {
  const identity = createHash('sha256')
    .update(JSON.stringify([name, key, write]))
    .digest('base64url');
  return { 'content-type': http.content_type, [TURN_HEADER]: String(turn), 'idempotency-key': `"${identity}"` };
}

/** @throws AttemptFailed, SourceUnavailable when the source says that it cannot answer */
function answered(source: string, answer: Answer): Answer {
  const { statusCode, headers } = answer;
  const asksToWait = WORTH_ANOTHER_TRY.includes(statusCode);
  if (!asksToWait && !TRANSIENT.includes(statusCode) && statusCode < 500) return answer;
  discard(answer);
  const options = { retryAfterSeconds: retryAfterSeconds(headers), cause: new Error(`status ${statusCode}`) };
  throw asksToWait ? new AttemptFailed(source, options) : new SourceUnavailable(source, options);
}

async function loaded(definition: HttpSourceDefinition, answer: Answer, conditional: boolean): Promise<LoadResult> {
  const { name, http, ttl } = definition;
  const { statusCode, headers } = answer;
  const ttlSeconds = (http.ttl_from === 'headers' ? ttlOf(headers) : undefined) ?? ttl;
  const lifetime = ttlSeconds === undefined ? {} : { ttlSeconds };
  if (statusCode === 200 || statusCode === 203) {
    const etag = headerText(headers['etag']) ?? '';
    const value = { contentType: contentTypeOf(definition, answer), bytes: await bytesOf(definition, answer) };
    return { status: 'found', value, ...lifetime, ...(ENTITY_TAG.test(etag) && { etag }) };
  }
  discard(answer);
  if (statusCode === 304 && conditional) return { status: 'unchanged', ...lifetime };
  if (GONE.includes(statusCode)) return { status: 'missing' };
  throw new SourceRefused(name, 'status', `answered ${statusCode}`);
}

/** @param alsoDone statuses that are as good as success */
async function written(source: string, answer: Answer, alsoDone: readonly number[]): Promise<void> {
  const { statusCode } = answer;
  discard(answer);
  const isDone = (statusCode >= 200 && statusCode < 300) || statusCode === 303 || alsoDone.includes(statusCode);
  if (!isDone) throw new SourceRefused(source, 'status', `answered ${statusCode} to a write`);
  return Promise.resolve();
}

function contentTypeOf({ name, http }: HttpSourceDefinition, answer: Answer): string {
  const contentType = headerText(answer.headers['content-type']) ?? '';
  const mediaType = contentType.split(';', 1)[0]?.trim().toLowerCase();
  if (mediaType === http.content_type.toLowerCase()) return contentType;
  discard(answer);
  throw new SourceRefused(name, 'content_type', `answered with another content type than ${http.content_type}`);
}

async function bytesOf({ name, http }: HttpSourceDefinition, answer: Answer): Promise<Buffer> {
  try {
    return await readBody(answer.body, headerText(answer.headers['content-encoding']), http.max_bytes);
  } catch (cause) {
    const { code = '' } = cause as { code?: string };
    if (cause instanceof BodyTooLarge || code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') {
      throw new SourceRefused(name, 'too_large', `answered with more than ${http.max_bytes} bytes`, { cause });
    }
    if (cause instanceof UnknownEncoding) discard(answer);
    if (cause instanceof UnknownEncoding || DECODING_FAILED.test(code)) {
      throw new SourceRefused(name, 'content_encoding', 'answered with a content coding that cannot be read', {
        cause,
      });
    }
    throw new SourceUnavailable(name, { cause });
  }
}

function inLowerCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}
