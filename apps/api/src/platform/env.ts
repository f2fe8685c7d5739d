import { accessSync, constants, mkdirSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import {
  InvalidAddress,
  parseClusterNodes,
  parseRedisUrl,
  type RedisAccess,
  type RedisAddress,
  type RedisLogin,
  type RedisTls,
} from '@cache-system/cache-engine';
import { z } from 'zod';
import { MAKE, MIN_PASSWORD_LENGTH, MIN_SECRET_LENGTH, productionProblems } from './production-secrets.js';

const DEFAULT_DATA_DIR = '.data';

const urlOf = (...schemes: string[]) =>
  z.string().refine((text) => URL.canParse(text) && schemes.includes(new URL(text).protocol), {
    error: `must be a URL that starts with ${schemes.map((scheme) => `${scheme}//`).join(' or ')}`,
  });

const addressOf = (parse: (text: string) => unknown) =>
  z.string().superRefine((text, context) => {
    try {
      parse(text);
    } catch (error) {
      if (!(error instanceof InvalidAddress)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
    }
  });

const atLeast = (characters: number, make: string) =>
  z.string().min(characters, `must have at least ${characters} characters; ${make}`);

const file = z
  .string()
  .min(1)
  .transform((path) => resolve(path));

const environmentSchema = z.object({
  NODE_ENV: z.enum(['development', 'production', 'test']).default('development'),
  PORT: z
    .string()
    .regex(/^\d{1,5}$/, 'must be a port number from 0 to 65535')
    .transform(Number)
    .refine((port) => port <= 65535, 'must be a port number from 0 to 65535')
    .default(3000),
  HOST: z.string().min(1).default('127.0.0.1'),
  DATA_DIR: z
    .string()
    .min(1)
    .default(DEFAULT_DATA_DIR)
    .transform((path) => resolve(path)),
  DATABASE_URL: urlOf('postgres:', 'postgresql:').optional(),
  REDIS_URL: addressOf(parseRedisUrl).optional(),
  REDIS_CLUSTER_NODES: addressOf(parseClusterNodes).optional(),
  REDIS_TLS_CA_FILE: file.optional(),
  REDIS_TLS_CERT_FILE: file.optional(),
  REDIS_TLS_KEY_FILE: file.optional(),
  REDIS_SENTINEL_USERNAME: z.string().min(1).optional(),
  REDIS_SENTINEL_PASSWORD: z.string().min(1).optional(),
  CONFIG_FILE: z
    .string()
    .regex(/\.(ya?ml|toml|json)$/i, 'must end in .yaml, .yml, .toml or .json')
    .transform((path) => resolve(path))
    .optional(),
  ADMIN_EMAIL: z.email('must be an e-mail address').default('admin@example.com'),
  ADMIN_PASSWORD: atLeast(MIN_PASSWORD_LENGTH, MAKE.ADMIN_PASSWORD).optional(),
  BOOTSTRAP_API_KEY: z
    .string()
    .regex(/^[\x21-\x2d\x2f-\x7e]{20,128}$/, 'must be 20 to 128 printable ASCII characters without spaces and dots')
    .optional(),
  JWT_SECRET: atLeast(MIN_SECRET_LENGTH, MAKE.JWT_SECRET).optional(),
  JWT_ACCEPTED_SECRETS: z
    .string()
    .transform((list) => list.split(','))
    .refine((secrets) => secrets.every((secret) => secret.length >= MIN_SECRET_LENGTH), {
      error: `must be a list of secrets, comma-separated, each of at least ${MIN_SECRET_LENGTH} characters`,
    })
    .optional(),
  JWT_KEYS_FILE: file.optional(),
  ENCRYPTION_KEYS: z
    .string()
    .regex(
      /^[\w-]+:[A-Za-z0-9+/_-]{43}=?(,[\w-]+:[A-Za-z0-9+/_-]{43}=?)*$/,
      `must be a list of id:key, comma-separated, each key 32 bytes in base64; ${MAKE.ENCRYPTION_KEYS}`,
    )
    .optional(),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
  NODE_NAME: z
    .string()
    .regex(/^[\w.-]{1,64}$/, 'must be 1 to 64 of letters, digits, ".", "_" and "-"')
    .default(
      hostname()
        .replace(/[^\w.-]/g, '-')
        .slice(0, 64) || 'node',
    ),
});

/** Where the configuration comes from, beside its defaults. */
export interface ConfigSources {
  readonly CONFIG_FILE?: string | undefined;
  /** `CACHE__LAYERS__L1__SIZE_MB=…` and the like: dotted path to text. */
  readonly configOverrides: ReadonlyMap<string, string>;
}

/** How to get at what the variables named REDIS_… lead to. */
interface RedisSettings {
  readonly server?: { readonly address: RedisAddress; readonly access: RedisAccess };
  readonly cluster?: { readonly addresses: readonly RedisAddress[]; readonly access: RedisAccess };
  readonly sentinelLogin: RedisLogin;
}

/** The settings that a process is started with. Everything that can change while it runs is in the configuration. */
export type Environment = Readonly<z.infer<typeof environmentSchema>> &
  ConfigSources & { readonly redis: RedisSettings };

/** The process cannot start like this; `problems` says everything that is wrong, not only the first thing. */
export class StartRefused extends Error {
  constructor(readonly problems: readonly string[]) {
    super(problems.join('\n'));
  }
}

/** A variable that the configuration names: where the connections of sources are. */
export function readVariable(name: string): string | undefined {
  // eslint-disable-next-line no-restricted-syntax -- of this file itself: the names of these variables are not known beforehand
  return process.env[name];
}

/** @throws StartRefused with every problem */
export function readEnvironment(variables: NodeJS.ProcessEnv): Environment {
  const given = withoutEmpty(variables);
  const parsed = environmentSchema.safeParse(given);
  const problems = [
    ...(parsed.error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`),
    ...(given['NODE_ENV'] === 'production' ? productionProblems(given) : []),
    ...unusableDataDir(resolve(given['DATA_DIR'] ?? DEFAULT_DATA_DIR)),
  ];
  const redis = parsed.success ? readRedisSettings(parsed.data, problems) : undefined;
  if (problems.length > 0 || !parsed.success || !redis) throw new StartRefused(problems);
  return Object.freeze({ ...parsed.data, ...configSources(variables), redis });
}

/** Where the configuration comes from; known also when other variables are wrong. */
export function configSources(variables: NodeJS.ProcessEnv): ConfigSources {
  const given = withoutEmpty(variables);
  const overrides = Object.entries(given).filter(([name]) => name.includes('__'));
  return {
    CONFIG_FILE: environmentSchema.shape.CONFIG_FILE.safeParse(given['CONFIG_FILE']).data,
    configOverrides: new Map(overrides.map(([name, text]) => [name.toLowerCase().replaceAll('__', '.'), text])),
  };
}

/** An empty variable means "not set", as in `docker compose` files. */
function withoutEmpty(variables: NodeJS.ProcessEnv): Record<string, string> {
  const set = Object.entries(variables).filter((entry): entry is [string, string] => Boolean(entry[1]));
  return Object.fromEntries(set);
}

function unusableDataDir(path: string): string[] {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
    return [];
  } catch (error) {
    return [`DATA_DIR: cannot write to ${path} (${(error as NodeJS.ErrnoException).code ?? String(error)})`];
  }
}

function readRedisSettings(variables: z.infer<typeof environmentSchema>, problems: string[]): RedisSettings {
  const { REDIS_URL, REDIS_CLUSTER_NODES, REDIS_SENTINEL_USERNAME: username } = variables;
  const server = REDIS_URL === undefined ? undefined : parseRedisUrl(REDIS_URL);
  const cluster = REDIS_CLUSTER_NODES === undefined ? undefined : parseClusterNodes(REDIS_CLUSTER_NODES);
  const password = variables.REDIS_SENTINEL_PASSWORD;
  if (username !== undefined && password === undefined) {
    problems.push('REDIS_SENTINEL_PASSWORD: is required with REDIS_SENTINEL_USERNAME');
  }
  const tls = readTlsFiles(variables, problems);
  const withFiles = (access: RedisAccess) => (access.tls ? { ...access, tls } : access);
  // Someone who gives certificates wants no connection without TLS.
  if (Object.keys(tls).length > 0 && !server?.access.tls && !cluster?.access.tls) {
    problems.push(
      'REDIS_TLS_CA_FILE, REDIS_TLS_CERT_FILE: have no effect without an address that starts with rediss://',
    );
  }
  return {
    ...(server && { server: { ...server, access: withFiles(server.access) } }),
    ...(cluster && { cluster: { ...cluster, access: withFiles(cluster.access) } }),
    sentinelLogin: { ...(username !== undefined && { username }), ...(password !== undefined && { password }) },
  };
}

function readTlsFiles(variables: z.infer<typeof environmentSchema>, problems: string[]): RedisTls {
  const read = (name: 'REDIS_TLS_CA_FILE' | 'REDIS_TLS_CERT_FILE' | 'REDIS_TLS_KEY_FILE') => {
    const path = variables[name];
    if (path === undefined) return undefined;
    try {
      const text = readFileSync(path, 'utf8');
      if (text.includes('-----BEGIN ')) return text;
      problems.push(`${name}: ${path} is not a PEM file`);
    } catch (error) {
      problems.push(`${name}: cannot read ${path} (${(error as NodeJS.ErrnoException).code ?? String(error)})`);
    }
    return undefined;
  };
  const [ca, cert, key] = [read('REDIS_TLS_CA_FILE'), read('REDIS_TLS_CERT_FILE'), read('REDIS_TLS_KEY_FILE')];
  const { REDIS_TLS_CERT_FILE, REDIS_TLS_KEY_FILE } = variables;
  if ((REDIS_TLS_CERT_FILE === undefined) !== (REDIS_TLS_KEY_FILE === undefined)) {
    problems.push('REDIS_TLS_CERT_FILE, REDIS_TLS_KEY_FILE: are required together');
  }
  const tls = { ...(ca !== undefined && { ca }), ...(cert !== undefined && key !== undefined && { cert, key }) };
  try {
    createSecureContext(tls);
  } catch (error) {
    problems.push(`REDIS_TLS_CA_FILE, REDIS_TLS_CERT_FILE, REDIS_TLS_KEY_FILE: ${(error as Error).message}`);
  }
  return tls;
}
