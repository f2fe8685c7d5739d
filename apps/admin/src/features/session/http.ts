import { errorSchema, type ErrorCode } from '@cache-system/contracts';

/** Milliseconds after which a request is given up. A detailed health check may rightly take several seconds. */
const DEADLINE_MS = 10_000;

/** The server answered, with an error. */
export class ApiError extends Error {
  override readonly name = 'ApiError';

  constructor(
    message: string,
    readonly status: number,
    /** null where the answer was not the API's own, but that of a proxy for instance. */
    readonly code: ErrorCode | null,
    readonly details: Readonly<Record<string, unknown>>,
    readonly requestId: string | null,
    readonly retryAfterSeconds: number | null,
  ) {
    super(message);
  }
}

/** No answer came, or none in time. */
export class ServerUnreachable extends Error {
  override readonly name = 'ServerUnreachable';

  constructor(options?: ErrorOptions) {
    super('The server does not answer', options);
  }
}

interface Parser<T> {
  parse(value: unknown): T;
}

export interface Call<T> {
  method?: 'GET' | 'POST' | 'DELETE';
  body?: unknown;
  accessToken?: string;
  signal?: AbortSignal;
  /** Schema of the response; left out where there is no body to read. */
  response?: Parser<T>;
}

export async function call<T = undefined>(path: string, options: Call<T> = {}): Promise<T> {
  const { answer, text } = await exchange(path, options);
  if (!answer.ok) throw toApiError(answer, text);
  return options.response?.parse(JSON.parse(text)) as T;
}

async function exchange(path: string, { method = 'GET', body, accessToken, signal }: Call<unknown>) {
  const headers = new Headers({ Accept: 'application/json' });
  if (accessToken !== undefined) headers.set('Authorization', `Bearer ${accessToken}`);
  if (body !== undefined) headers.set('Content-Type', 'application/json');
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  try {
    const answer = await fetch(path, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
      cache: 'no-store',
      credentials: 'omit',
    });
    return { answer, text: await answer.text() };
  } catch (cause) {
    if (signal?.aborted === true) throw cause;
    throw new ServerUnreachable({ cause });
  }
}

function toApiError(answer: Response, text: string): Error {
  const envelope = errorSchema.safeParse(parseJson(text));
  if (!envelope.success) {
    // Gateways answer for a server that is down.
    if ([502, 503, 504].includes(answer.status)) return new ServerUnreachable();
    const message = `The server gave an answer that is not understood (HTTP ${answer.status})`;
    return new ApiError(message, answer.status, null, {}, null, retryAfter(answer));
  }
  const { code, message, details, metadata } = envelope.data.error;
  return new ApiError(message, answer.status, code, details, metadata.request_id, retryAfter(answer));
}

function retryAfter(answer: Response): number | null {
  const header = answer.headers.get('Retry-After');
  return header !== null && /^\d+$/.test(header) ? Number(header) : null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
