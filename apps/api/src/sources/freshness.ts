const MAX_TTL_SECONDS = 315_360_000;

/** Fields of a header section by their names in lower case. */
export type HeaderFields = Readonly<Record<string, string | string[] | undefined>>;

/**
 * Seconds for which a shared cache may keep an answer (RFC 9111 §4.2). 0: not at all, or not without asking again.
 * Undefined: the answer says nothing of it.
 *
 * What the answer has aged is taken from `Age` alone: its `Date` would have to be compared with a clock of our own, and
 * clocks differ. That the request carried credentials (§3.5) is nothing against it: they are the cache's own.
 */
export function ttlOf(headers: HeaderFields): number | undefined {
  const directives = parseCacheControl(headerText(headers['cache-control']));
  if (['no-store', 'private', 'no-cache'].some((name) => directives.has(name))) return 0;
  const lifetimeSeconds = lifetimeOf(directives, headers);
  if (lifetimeSeconds === undefined) return undefined;
  const ageSeconds = deltaSeconds(headerText(headers['age'])) ?? 0;
  return Math.min(Math.max(lifetimeSeconds - ageSeconds, 0), MAX_TTL_SECONDS);
}

function lifetimeOf(directives: Map<string, string>, headers: HeaderFields): number | undefined {
  const declared = directives.get('s-maxage') ?? directives.get('max-age');
  // One that cannot be read counts as stale (§4.2.1).
  if (declared !== undefined) return deltaSeconds(declared) ?? 0;
  const expires = headerText(headers['expires']);
  if (expires === undefined) return undefined;
  const lifetimeMs = Date.parse(expires) - Date.parse(headerText(headers['date']) ?? new Date().toUTCString());
  return Number.isNaN(lifetimeMs) ? 0 : Math.floor(lifetimeMs / 1000);
}

/** Of directives that come twice the first counts (§4.2.1). */
function parseCacheControl(text: string | undefined): Map<string, string> {
  const directives = new Map<string, string>();
  for (const [, name = '', quoted, token] of (text ?? '').matchAll(/([\w-]+)(?:=(?:"([^"]*)"|([^\s,;]*)))?/g)) {
    const key = name.toLowerCase();
    if (!directives.has(key)) directives.set(key, quoted ?? token ?? '');
  }
  return directives;
}

function deltaSeconds(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

/** One that comes several times as one list, which it stands for (RFC 9110 §5.2). */
export function headerText(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value;
}
