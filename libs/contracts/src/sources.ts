import { z } from 'zod';

const seconds = (description: string) => z.number().int().min(0).max(315_360_000).meta({ description });

const milliseconds = (min: number, max: number, byDefault: number, description: string) =>
  z.number().int().min(min).max(max).default(byDefault).meta({ description });

/** A header's name (RFC 9110 §5.6.2). */
const headerName = z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, 'must be the name of a header');
/** What would change where a message ends or where it goes, and what a source sets itself. */
const RESERVED_HEADERS =
  /^(host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect|content-length|content-type|content-encoding|accept-encoding|if-none-match|idempotency-key|x-cache-version|proxy-.*)$/i;
const sentHeaderName = headerName.refine((name) => !RESERVED_HEADERS.test(name), 'cannot be set for a source');
const headerValue = z
  .string()
  .max(8192)
  .regex(/^[\t\x20-\x7e\x80-\xff]*$/, 'must have no line break and no control character');

const urlTemplate = z
  .string()
  .max(2048)
  .superRefine((template, context) => {
    const fault = faultOfTemplate(template);
    if (fault !== undefined) context.addIssue({ code: 'custom', message: fault });
  })
  .meta({
    description:
      'URL of the entry: `{key}` stands for the key, `{suffix}` for the key without the prefix, both percent-encoded as one path segment. Only in the path or the query',
    examples: ['https://books.example/books/{suffix}'],
  });

const PLACEHOLDER = /\{(?:key|suffix)\}/g;

function faultOfTemplate(template: string): string | undefined {
  const scheme = /^https?:\/\//i.exec(template)?.[0];
  if (scheme === undefined) return 'must begin with https:// or http://';
  const authority = /^[^/?]*/.exec(template.slice(scheme.length))?.[0] ?? '';
  if (/[{}]/.test(authority)) return 'must not have a placeholder in the host';
  if (authority.includes('@')) return 'must not hold a user or a password: use secret_headers';
  if (/[#\\]/.test(template)) return 'must have no fragment and no backslash';
  if (/[{}]/.test(template.replaceAll(PLACEHOLDER, ''))) return 'knows only the placeholders {key} and {suffix}';
  if (template.search(PLACEHOLDER) < 0) return 'must have {key} or {suffix} in the path or the query';
  if (!URL.canParse(template.replaceAll(PLACEHOLDER, 'x'))) return 'must be a URL';
  return undefined;
}

const httpSchema = z.strictObject({
  url: urlTemplate,
  store: z
    .strictObject({ method: z.enum(['PUT', 'POST', 'PATCH']).default('PUT'), url: urlTemplate.optional() })
    .optional()
    .meta({
      description:
        'How an entry is stored; left out, the source is read-only. POST and PATCH are never repeated by themselves',
    }),
  remove: z
    .strictObject({ method: z.enum(['DELETE', 'POST']).default('DELETE'), url: urlTemplate.optional() })
    .optional()
    .meta({ description: 'How an entry is removed; left out, the source keeps what the cache forgets' }),
  headers: z.record(sentHeaderName, headerValue).default({}).meta({ description: 'Sent with every request' }),
  secret_headers: z.record(sentHeaderName, headerValue).default({}).meta({
    description: 'Sent with every request, never to another origin; encrypted at rest and never shown',
    secret: true,
  }),
  content_type: z
    .string()
    .regex(/^[\w.+-]+\/[\w.+-]+$/, 'must be a media type without parameters')
    .default('application/json')
    .meta({ description: 'Media type that answers must have' }),
  max_bytes: z
    .number()
    .int()
    .min(1)
    .max(64 * 1024 * 1024)
    .default(1024 * 1024)
    .meta({ description: 'Bytes that an answer may have, before and after decompression' }),
  ttl_from: z.enum(['headers', 'config']).default('headers').meta({
    description:
      '`headers`: Cache-Control, Expires and Age of the answer where it has them, else `ttl`; `config`: `ttl`',
  }),
  max_connections: z
    .number()
    .int()
    .min(1)
    .max(256)
    .default(16)
    .meta({ description: 'Connections per node and origin' }),
  connect_timeout_ms: milliseconds(10, 60_000, 1000, 'Milliseconds that a connection may take to open'),
});

const columnName = z.string().min(1).max(63);

const postgresSchema = z
  .strictObject({
    connection_env: z
      .string()
      .regex(/^[A-Z][A-Z0-9_]*$/, 'must be the name of an environment variable, such as BOOKS_DATABASE_URL')
      .meta({ description: 'Environment variable that holds the connection string' }),
    table: z
      .string()
      .regex(/^[^.\0]{1,63}(\.[^.\0]{1,63})?$/, 'must be a table or schema.table')
      .optional()
      .meta({ description: 'Table or `schema.table`, as it is spelled in the database: case matters' }),
    key_column: columnName
      .optional()
      .meta({ description: 'Column of the key without its prefix; unique if the source is writable' }),
    query: z
      .string()
      .max(16_384)
      .refine((query) => query.includes('$1') && !query.includes(';'), 'must be one SELECT with $1 for the key')
      .optional()
      .meta({
        description: 'Instead of a table: a SELECT of one row, in which $1 (text) is the key without its prefix',
      }),
    value_column: columnName.optional().meta({
      description: 'Column of the value: json, jsonb, text or bytea. Left out, the value is the row as a JSON object',
    }),
    content_type: z
      .string()
      .regex(/^[\w.+-]+\/[\w.+-]+$/)
      .default('application/json')
      .meta({ description: 'Media type of what the value column holds' }),
    writable: z.boolean().default(false).meta({
      description: 'Whether the cache stores to and removes from the table; needs key_column and value_column',
    }),
    watch: z
      .boolean()
      .default(false)
      .meta({ description: 'Whether changes of the table invalidate its keys; its triggers have to be installed' }),
    max_bytes: z
      .number()
      .int()
      .min(1)
      .max(64 * 1024 * 1024)
      .default(1024 * 1024)
      .meta({ description: 'Bytes that a value may have' }),
    max_connections: z.number().int().min(1).max(100).default(4).meta({ description: 'Connections per node' }),
    connect_timeout_ms: milliseconds(10, 60_000, 2000, 'Milliseconds that getting a connection may take'),
  })
  .superRefine(({ table, key_column, query, value_column, writable, watch }, context) => {
    const refuse = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if ((table === undefined) === (query === undefined)) refuse('table', 'either table or query is required, not both');
    if (table !== undefined && key_column === undefined) refuse('key_column', 'is required with table');
    if (query !== undefined && key_column !== undefined) refuse('key_column', 'is for a table');
    if (writable && (table === undefined || value_column === undefined)) {
      refuse('writable', 'needs table and value_column');
    }
    if (watch && table === undefined) refuse('watch', 'needs table');
  });

const common = {
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, 'must be of a-z, 0-9, _ and -')
    .meta({ description: 'Names the source in metrics, in the log and for `/v1/admin/sources`' }),
  namespace: z.string().min(1).max(128).default('default'),
  prefix: z
    .string()
    .min(1)
    .max(512)
    .meta({ description: 'Keys that begin with this live in the source; the longest prefix wins' }),
  ttl: seconds('Seconds that an entry of the source lives; left out, as the layers say').optional(),
  negative_ttl: seconds('Seconds for which it is remembered that the source has no such key').default(30),
  stale_while_revalidate: seconds(
    'Seconds after its expiry in which an entry is still served, and fetched anew meanwhile',
  ).default(0),
  stale_if_error: seconds('Seconds after its expiry in which an entry is served if the source fails').default(0),
  soft_timeout_ms: milliseconds(
    10,
    60_000,
    500,
    'Milliseconds after which a stale entry, where there is one, is served',
  ),
  hard_timeout_ms: milliseconds(
    10,
    120_000,
    5000,
    'Milliseconds after which a call, all attempts together, is given up',
  ),
  retries: z
    .strictObject({
      max: z.number().int().min(0).max(10).default(2).meta({ description: 'Attempts after the first' }),
      backoff_ms: milliseconds(1, 10_000, 100, 'Upper bound of the pause before the first retry; doubles with each'),
      max_backoff_ms: milliseconds(1, 60_000, 2000, 'Most that the upper bound grows to'),
    })
    .prefault({}),
  breaker: z
    .strictObject({
      failures: z.number().int().min(1).max(1000).default(5).meta({
        description: 'Failures in a row after which the source is not asked any more',
      }),
      open_ms: milliseconds(10, 600_000, 5000, 'Milliseconds until one call is let through to see whether it is back'),
    })
    .prefault({}),
};

const sourceSchema = z
  .discriminatedUnion('type', [
    z.strictObject({ ...common, type: z.literal('http'), http: httpSchema }),
    z.strictObject({ ...common, type: z.literal('postgres'), postgres: postgresSchema }),
  ])
  .refine(({ soft_timeout_ms, hard_timeout_ms }) => soft_timeout_ms <= hard_timeout_ms, {
    path: ['soft_timeout_ms'],
    message: 'must not be longer than hard_timeout_ms',
  });

/** A host or an address, IPv6 in brackets, and a port where only that is meant. */
const hostAndPort = z
  .string()
  .max(300)
  .regex(/^(\[[0-9A-Fa-f:.]+\]|[\p{L}\p{N}_.-]+)(:\d{1,5})?$/u)
  .refine((host) => URL.canParse(`http://${host}`));
export const allowedHostSchema = z.union([hostAndPort, z.ipv6(), z.cidrv4(), z.cidrv6()], {
  error: 'must be a host, host:port, address or CIDR',
});

/** `cache.sources`: where the data of key prefixes lives. */
export const sourcesSchema = z
  .strictObject({
    allowed_hosts: z.array(allowedHostSchema).max(256).default([]).meta({
      description:
        'Hosts, `host:port`s and CIDRs that HTTP sources may reach although their addresses are private, loopback or link-local',
    }),
    definitions: z.array(sourceSchema).max(256).default([]),
  })
  .superRefine(({ definitions }, context) => {
    const seen = new Set<string>();
    definitions.forEach(({ name, namespace, prefix }, index) => {
      for (const [path, value] of [
        ['name', `name ${name}`],
        ['prefix', `prefix ${JSON.stringify([namespace, prefix])}`],
      ] as const) {
        if (seen.has(value))
          context.addIssue({ code: 'custom', path: ['definitions', index, path], message: 'is taken' });
        seen.add(value);
      }
    });
  })
  .prefault({});

export type SourceDefinition = z.infer<typeof sourceSchema>;
export type HttpSourceDefinition = Extract<SourceDefinition, { type: 'http' }>;
export type PostgresSourceDefinition = Extract<SourceDefinition, { type: 'postgres' }>;
