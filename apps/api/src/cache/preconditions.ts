import type { Condition } from '@cache-system/cache-engine';
import type { FastifyRequest } from 'fastify';
import { InvalidRequest } from '../platform/http/api-error.js';
import { parseVersion } from './etag.js';

/** What `If-Match` or `If-None-Match` lists: any entry, or these versions. */
type EntityTags = '*' | readonly { readonly version: number | undefined; readonly weak: boolean }[];

/** One entity tag of a list, up to the comma after it; the tag itself may hold commas. */
const LISTED_TAG = /[\t ,]*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[\t ]*(?=,|$)/y;
const LIST_END = /^[\t ,]*$/;

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
  const tags: { version: number | undefined; weak: boolean }[] = [];
  let end = 0;
  LISTED_TAG.lastIndex = 0;
  for (let found = LISTED_TAG.exec(header); found; found = LISTED_TAG.exec(header)) {
    const [, weak, opaque = ''] = found;
    tags.push({ version: parseVersion(opaque), weak: weak !== undefined });
    end = LISTED_TAG.lastIndex;
  }
  if (LIST_END.test(header.slice(end))) return tags;
  throw new InvalidRequest([{ path: name, reason: 'must be * or a list of entity tags in double quotes' }]);
}

function versions(tags: readonly { readonly version: number | undefined }[]): number[] {
  return tags.map(({ version }) => version).filter((version) => version !== undefined);
}
