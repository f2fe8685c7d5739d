import { openHttpSource } from '../../src/sources/http-source.js';
import type { Source } from '../../src/sources/source.js';
import { type HttpSourceDefinition, sourcesSchema } from '@cache-system/contracts';

/** Parts of a definition, and of its `http` section. */
export type HttpSettings = { readonly http?: object } & Readonly<Record<string, unknown>>;

/** Settings of retries that pause for nothing worth mentioning. */
export const FAST = { retries: { max: 2, backoff_ms: 1, max_backoff_ms: 1 } };

export function httpDefinition(url: string, { http, ...more }: HttpSettings = {}): HttpSourceDefinition {
  const definition = { name: 'books', prefix: 'book:', type: 'http', ...more, http: { url, ...http } };
  const [parsed] = sourcesSchema.parse({ definitions: [definition] }).definitions;
  if (parsed?.type !== 'http') throw new Error('not an HTTP source');
  return parsed;
}

/** A source on 127.0.0.1. */
export function openLocalSource(url: string, settings: HttpSettings): Source {
  return openHttpSource(httpDefinition(url, settings), { allowedHosts: ['127.0.0.1'] });
}

/** The signal of a caller who stays. */
export const never = (): AbortSignal => new AbortController().signal;

/** What a call fails with. */
export async function failure(call: Promise<unknown> | undefined): Promise<Error> {
  try {
    await call;
  } catch (error) {
    return error as Error;
  }
  return new Error('did not fail');
}
