import { PLAIN_WISH, type ReadWish } from './source-reads.js';

const DIRECTIVE = /(?:^|,)\s*([a-z-]+)(?:="?(\d{1,9})"?)?\s*(?=,|$)/gi;

/** What the `Cache-Control` of a request asks for (RFC 9111, section 5.2.1); directives that are not known say nothing. */
export function readWish(cacheControl: string | undefined): ReadWish {
  if (cacheControl === undefined) return PLAIN_WISH;
  const directives = new Map([...cacheControl.matchAll(DIRECTIVE)].map(([, name = '', n]) => [name.toLowerCase(), n]));
  const maxStale = directives.get('max-stale');
  return {
    fresh: directives.has('no-cache'),
    onlyIfCached: directives.has('only-if-cached'),
    // Without a number, whatever its age.
    maxStaleSeconds: directives.has('max-stale') ? Number(maxStale ?? Infinity) : 0,
  };
}
