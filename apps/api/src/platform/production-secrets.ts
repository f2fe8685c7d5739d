import { KEY_STRENGTH, PASSWORD_STRENGTH, type Strength, weaknessOf } from './secret-strength.js';

export const MIN_SECRET_LENGTH = 32;
export const MIN_PASSWORD_LENGTH = 12;
const MIN_API_KEY_LENGTH = 32;
/** A shorter one is in a good password by chance. */
const MIN_NAME_LENGTH = 4;
const ENCRYPTION_KEY_BYTES = 32;
const MIN_DIFFERENT_BYTES = 16;
/** They are guarded by the network first and chosen elsewhere: only what everybody knows is refused. */
const STORE_PASSWORD_STRENGTH: Strength = { bits: 0, unfamiliar: 3 };

/** How a good one comes about, by the name of the variable. */
export const MAKE = {
  JWT_SECRET: 'make one with: openssl rand -base64 32',
  ADMIN_PASSWORD: 'make one with: openssl rand -base64 18',
  BOOTSTRAP_API_KEY: 'make one with: openssl rand -hex 32, or leave it out to have one made',
  STORE_PASSWORD: 'make one with: openssl rand -hex 32',
  ENCRYPTION_KEYS: 'make one with: echo "k1:$(openssl rand -base64 32)"',
} as const;

/**
 * What is wrong with the secrets of a process in production, each with the command that makes a good one. Those that are
 * malformed or too short are so everywhere, and told elsewhere.
 */
export function productionProblems(given: Readonly<Record<string, string>>): string[] {
  return [
    ...tokenSecrets(given),
    ...adminPassword(given),
    ...bootstrapKey(given),
    ...encryptionKeys(given),
    ...storePasswords(given),
  ];
}

function tokenSecrets({ JWT_SECRET, JWT_KEYS_FILE, JWT_ACCEPTED_SECRETS }: Readonly<Record<string, string>>): string[] {
  if (JWT_SECRET === undefined && JWT_KEYS_FILE === undefined) {
    return [`JWT_SECRET: is required in production; ${MAKE.JWT_SECRET}`];
  }
  const own = [JWT_SECRET].filter((secret) => secret !== undefined);
  const named = [
    ...own.map((secret) => ['JWT_SECRET', secret] as const),
    ...(JWT_ACCEPTED_SECRETS?.split(',') ?? []).map((secret) => ['JWT_ACCEPTED_SECRETS', secret] as const),
  ];
  const judged = named.filter(([, secret]) => secret.length >= MIN_SECRET_LENGTH);
  return judged.flatMap(([name, secret]) => problem(name, weaknessOf(secret, KEY_STRENGTH), MAKE.JWT_SECRET));
}

function adminPassword({ ADMIN_PASSWORD, ADMIN_EMAIL = '' }: Readonly<Record<string, string>>): string[] {
  if (ADMIN_PASSWORD === undefined) return [`ADMIN_PASSWORD: is required in production; ${MAKE.ADMIN_PASSWORD}`];
  if (ADMIN_PASSWORD.length < MIN_PASSWORD_LENGTH) return [];
  const [name = ''] = ADMIN_EMAIL.toLowerCase().split('@');
  if (name.length >= MIN_NAME_LENGTH && ADMIN_PASSWORD.toLowerCase().includes(name)) {
    return problem('ADMIN_PASSWORD', 'contains the name in ADMIN_EMAIL', MAKE.ADMIN_PASSWORD);
  }
  const words = ADMIN_EMAIL.toLowerCase().split(/[^\p{L}]+/u);
  return problem('ADMIN_PASSWORD', weaknessOf(ADMIN_PASSWORD, PASSWORD_STRENGTH, words), MAKE.ADMIN_PASSWORD);
}

/** The checksum of a key of our own form is looked at where the key is put to use; anybody can make one of nothing. */
function bootstrapKey({ BOOTSTRAP_API_KEY: key }: Readonly<Record<string, string>>): string[] {
  if (key === undefined) return [];
  const random = /^ck_(?:live|test)_(.*).{6}$/.exec(key)?.[1];
  if (random !== undefined)
    return problem('BOOTSTRAP_API_KEY', weaknessOf(random, KEY_STRENGTH), MAKE.BOOTSTRAP_API_KEY);
  const isShort = key.length < MIN_API_KEY_LENGTH;
  const weakness = isShort ? `must have at least ${MIN_API_KEY_LENGTH} characters` : weaknessOf(key, KEY_STRENGTH);
  return problem('BOOTSTRAP_API_KEY', weakness, MAKE.BOOTSTRAP_API_KEY);
}

function encryptionKeys({ ENCRYPTION_KEYS = '' }: Readonly<Record<string, string>>): string[] {
  return ENCRYPTION_KEYS.split(',').flatMap((entry) => {
    const [id = '', text = ''] = entry.split(':');
    return problem('ENCRYPTION_KEYS', weaknessOfBytes(Buffer.from(text, 'base64')), MAKE.ENCRYPTION_KEYS, id);
  });
}

/** A URL without a password is fine: there are sockets, certificates and networks of one's own. */
function storePasswords(given: Readonly<Record<string, string>>): string[] {
  const sentinel = given['REDIS_SENTINEL_PASSWORD'];
  const weakness = sentinel === undefined ? undefined : weaknessOf(sentinel, STORE_PASSWORD_STRENGTH);
  const ofSentinel = problem('REDIS_SENTINEL_PASSWORD', weakness, MAKE.STORE_PASSWORD);
  const inUrls = ['DATABASE_URL', 'REDIS_URL', 'REDIS_CLUSTER_NODES'].flatMap((name) => {
    const urls = (given[name] ?? '').split(',').filter((part) => URL.canParse(part));
    const found = urls.map((url) => weaknessOfLogin(new URL(url))).find((weakness) => weakness !== undefined);
    return problem(name, found, MAKE.STORE_PASSWORD);
  });
  return [...inUrls, ...ofSentinel];
}

function weaknessOfLogin({ username, password }: URL): string | undefined {
  if (password === '') return undefined;
  if (password === username) return 'has the user name for a password';
  const weakness = weaknessOf(decoded(password), STORE_PASSWORD_STRENGTH, [username.toLowerCase()]);
  return weakness === undefined ? undefined : `has a password that ${weakness}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Random bytes are rarely alike, never in order and never all text. */
function weaknessOfBytes(key: Buffer): string | undefined {
  if (key.length !== ENCRYPTION_KEY_BYTES) return undefined;
  if (new Set(key).size < MIN_DIFFERENT_BYTES) return 'has too few different bytes';
  if (key.every((byte) => byte >= 0x20 && byte < 0x7f)) return 'is a text, not random bytes';
  return weaknessOf(key.toString('latin1'), { bits: 0, unfamiliar: 0 });
}

function problem(name: string, weakness: string | undefined, make: string, which?: string): string[] {
  if (weakness === undefined) return [];
  return [`${name}: ${which === undefined ? '' : `${which} `}${weakness}; ${make}`];
}
