import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyRequest } from 'fastify';

export interface PresentedCredential {
  readonly kind: 'api_key' | 'jwt';
  readonly text: string;
}

const BEARER = 'Bearer ';

/**
 * The credential of a request: `X-API-Key`, else `Authorization: Bearer` with an API key or a JWT, else `?api_key=`.
 * A JWT has two dots, an API key none, not even one of the operator's own.
 */
export function presentedCredential(request: FastifyRequest, inQuery: boolean): PresentedCredential | undefined {
  const inHeaders = credentialIn(request.headers);
  if (inHeaders || request.headers.authorization !== undefined) return inHeaders;
  if (!inQuery || !request.url.includes('api_key=')) return undefined;
  const { api_key: text } = request.query as Record<string, unknown>;
  return typeof text === 'string' ? { kind: 'api_key', text } : undefined;
}

export function credentialIn(headers: IncomingHttpHeaders): PresentedCredential | undefined {
  const header = headers['x-api-key'];
  if (typeof header === 'string') return { kind: 'api_key', text: header };
  const { authorization } = headers;
  if (authorization?.slice(0, BEARER.length).toLowerCase() !== BEARER.toLowerCase()) return undefined;
  const text = authorization.slice(BEARER.length).trim();
  return { kind: text.includes('.') ? 'jwt' : 'api_key', text };
}
