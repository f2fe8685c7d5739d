import type { Condition } from '@cache-system/cache-engine';
import type { FastifyRequest } from 'fastify';
import { InvalidRequest } from '../platform/http/api-error.js';
import { parseVersion } from './etag.js';

/** What `If-Match` or `If-None-Match` lists: any entry, or these versions. */
type EntityTags = '*' | readonly { readonly version: number | undefined; readonly weak: boolean }[];

const ENTITY_TAG = /^(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"$/;

/**
 * The preconditions of a write, RFC 9110 section 13. `If-Match` compares strongly, `If-None-Match` weakly.
 * @throws InvalidRequest
 */
export function writeCondition(request: FastifyRequest): Condition | undefined {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = request.headers;
  if (ifMatch === undefined && ifNoneMatch === undefined) return undefined;
  const condition: { -readonly [K in keyof Condition]: Condition[K] } = {};
  const match = parse('If-Match', ifMatch);
  const noneMatch = parse('If-None-Match', ifNoneMatch);
  if (match === '*') condition.exists = true;
  else if (match) condition.versionIn = versions(match.filter(({ weak }) => !weak));
  if (noneMatch === '*') condition.exists = false;
  else if (noneMatch) condition.versionNotIn = versions(noneMatch);
  return condition;
}

/** Whether a read must answer 412, and whether it may answer 304. */
export function readPreconditions(request: FastifyRequest, version: number): 'failed' | 'not-modified' | 'none' {
  const match = parse('If-Match', request.headers['if-match']);
  if (match && match !== '*' && !match.some((tag) => !tag.weak && tag.version === version)) return 'failed';
  const noneMatch = parse('If-None-Match', request.headers['if-none-match']);
  if (noneMatch === '*' || noneMatch?.some((tag) => tag.version === version)) return 'not-modified';
  return 'none';
}

function parse(name: string, header: string | undefined): EntityTags | undefined {
  if (header === undefined) return undefined;
  if (header.trim() === '*') return '*';
  return header
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const [, weak, opaque] = ENTITY_TAG.exec(part) ?? [];
      if (opaque === undefined) {
        throw new InvalidRequest([{ path: name, reason: 'must be * or a list of entity tags in double quotes' }]);
      }
      return { version: parseVersion(opaque), weak: weak !== undefined };
    });
}

function versions(tags: readonly { readonly version: number | undefined }[]): number[] {
  return tags.map(({ version }) => version).filter((version) => version !== undefined);
}
