import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { configSources, readEnvironment, StartRefused } from './env.js';

const OPENSSL = 'openssl';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cs-env-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const read = (variables: NodeJS.ProcessEnv = {}) => readEnvironment({ DATA_DIR: folder, ...variables });

function problemsOf(variables: NodeJS.ProcessEnv): readonly string[] {
  try {
    read(variables);
  } catch (error) {
    if (error instanceof StartRefused) return error.problems;
    throw error;
  }
  return [];
}

describe('the environment', () => {
  test('has a default for everything that is not secret', () => {
    expect(read()).toMatchObject({
      NODE_ENV: 'development',
      PORT: 3000,
      HOST: '127.0.0.1',
      ADMIN_EMAIL: 'admin@example.com',
      LOG_LEVEL: 'info',
      NODE_NAME: expect.stringMatching(/^[\w.-]+$/) as string,
    });
    expect(read()).not.toHaveProperty('JWT_SECRET');
  });

  test('cannot be changed', () => {
    const environment = read();
    expect(() => Object.assign(environment, { PORT: 1 })).toThrow(TypeError);
  });

  test('takes an empty variable for one that is not set', () => {
    expect(read({ PORT: '', DATABASE_URL: '', JWT_SECRET: '' })).toEqual(read());
  });

  test('makes the folder for the data, for its owner only', () => {
    const DATA_DIR = path.join(folder, 'a', 'b');
    expect(read({ DATA_DIR }).DATA_DIR).toBe(DATA_DIR);
    expect(existsSync(DATA_DIR)).toBe(true);
    expect(statSync(DATA_DIR).mode & 0o777).toBe(0o700);
  });

  test.each<[string, string[], string[]]>([
    ['PORT', ['0', '80', '65535'], ['-1', '65536', '3000x', '1e3', ' 80', '0x50']],
    ['HOST', ['0.0.0.0', '::1'], []],
    ['DATABASE_URL', ['postgres://a/b', 'postgresql://a:5432/b?sslmode=require'], ['mysql://a/b', 'a:5432', '/tmp']],
    [
      'REDIS_URL',
      ['redis://a', 'rediss://u:p@a:6380/1', 'redis://:p@[::1]:6379/'],
      [
        'a:6379',
        'http://a',
        'redis://',
        'redis://u@a',
        'redis://a:0',
        'redis://a/x',
        'redis://:%zz@a',
        'redis://a?x=1',
      ],
    ],
    [
      'REDIS_CLUSTER_NODES',
      ['a:1', 'a:1, [::1]:65535,', 'rediss://u:p@a:1,b:2', 'redis://a'],
      ['a', ',', 'a:0', 'a:65536', 'a:1;b:2', 'a:1,http://b', 'redis://a/1'],
    ],
    ['REDIS_TLS_CA_FILE', [], ['/nowhere/ca.pem', '/dev/null']],
    ['REDIS_SENTINEL_PASSWORD', ['x'], []],
    ['CONFIG_FILE', ['/a.yaml', 'a.yml', 'a.TOML', 'a.json'], ['a.ini', 'yaml']],
    ['ADMIN_EMAIL', ['a@b.co'], ['a', 'a@b']],
    ['ADMIN_PASSWORD', ['x'.repeat(12)], ['x'.repeat(11)]],
    [
      'BOOTSTRAP_API_KEY',
      ['x'.repeat(20), '!~'.repeat(64)],
      ['x'.repeat(19), 'x'.repeat(129), 'x'.repeat(20) + ' ', 'é'.repeat(20), 'x'.repeat(20) + '.'],
    ],
    ['JWT_SECRET', ['x'.repeat(32)], ['x'.repeat(31)]],
    [
      'JWT_ACCEPTED_SECRETS',
      ['x'.repeat(32), `${'x'.repeat(32)},${'y'.repeat(32)}`],
      ['x'.repeat(31), `${'x'.repeat(32)},`, `${'x'.repeat(32)},y`],
    ],
    [
      'ENCRYPTION_KEYS',
      [`k1:${'A'.repeat(43)}=`, `a:${'A'.repeat(43)},b:${'_'.repeat(43)}`],
      ['A'.repeat(43), `k:${'A'.repeat(42)}`],
    ],
    ['LOG_LEVEL', ['trace', 'silent'], ['verbose', 'INFO']],
    ['NODE_NAME', ['api-1.eu_west'], ['a b', 'x'.repeat(65)]],
  ])('takes %s as it must be, and says what is wrong with it otherwise', (name, right, wrong) => {
    for (const value of right) expect(problemsOf({ [name]: value })).toEqual([]);
    for (const value of wrong) expect(problemsOf({ [name]: value })).toEqual([expect.stringMatching(`^${name}: \\S`)]);
  });

  test('says how to get at Redis', () => {
    expect(read().redis).toEqual({ sentinelLogin: {} });
    expect(
      read({
        REDIS_URL: 'redis://cache:p%40ss@redis-1/2',
        REDIS_CLUSTER_NODES: 'a:1,rediss://:p@b:2,c:3',
        REDIS_SENTINEL_USERNAME: 's',
        REDIS_SENTINEL_PASSWORD: 'w',
      }).redis,
    ).toEqual({
      server: {
        address: { host: 'redis-1', port: 6379 },
        access: { username: 'cache', password: 'p@ss', database: 2 },
      },
      cluster: {
        addresses: [
          { host: 'a', port: 1 },
          { host: 'b', port: 2 },
          { host: 'c', port: 3 },
        ],
        access: { password: 'p', tls: {}, database: 0 },
      },
      sentinelLogin: { username: 's', password: 'w' },
    });
  });

  test('has the certificates for Redis in it, which must be of use', () => {
    const pem = (name: string) => {
      const [subject, args] = [`/CN=${name}`, ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256']];
      const [cert, key] = [path.join(folder, `${name}.pem`), path.join(folder, `${name}.key`)];
      execFileSync(OPENSSL, [...args, '-nodes', '-subj', subject, '-keyout', key, '-out', cert], {
        stdio: 'ignore',
      });
      return { cert, key };
    };
    const [ca, own] = [pem('ca'), pem('own')];
    const given = { REDIS_TLS_CA_FILE: ca.cert, REDIS_TLS_CERT_FILE: own.cert, REDIS_TLS_KEY_FILE: own.key };
    const text = (file: string) => readFileSync(file, 'utf8');
    const { server, cluster } = read({ ...given, REDIS_URL: 'rediss://a', REDIS_CLUSTER_NODES: 'b:1' }).redis;
    expect(server?.access.tls).toEqual({ ca: text(ca.cert), cert: text(own.cert), key: text(own.key) });
    expect(cluster?.access).not.toHaveProperty('tls');

    const REDIS_URL = 'rediss://a';
    expect(problemsOf({ ...given, REDIS_URL: 'redis://a' })).toEqual([expect.stringContaining('rediss://')]);
    expect(problemsOf({ ...given, REDIS_URL, REDIS_TLS_KEY_FILE: ca.key })).toEqual([
      expect.stringContaining('mismatch'),
    ]);
    expect(problemsOf({ REDIS_URL, REDIS_TLS_CERT_FILE: own.cert })).toEqual([expect.stringContaining('together')]);
    expect(problemsOf({ REDIS_URL, REDIS_TLS_CA_FILE: folder })).toEqual([expect.stringContaining('EISDIR')]);
    expect(problemsOf({ REDIS_SENTINEL_USERNAME: 's' })).toEqual([expect.stringMatching(/^REDIS_SENTINEL_PASSWORD: /)]);
  });

  test('is refused with everything that is wrong, not only the first thing', () => {
    const file = path.join(folder, 'file');
    writeFileSync(file, '');
    const problems = problemsOf({ NODE_ENV: 'production', PORT: 'x', HOST: 'h', DATA_DIR: file, LOG_LEVEL: 'x' });
    expect(problems.map((problem) => problem.split(':')[0])).toEqual([
      'PORT',
      'LOG_LEVEL',
      'JWT_SECRET',
      'ADMIN_PASSWORD',
      'DATA_DIR',
    ]);
  });
});

describe('in production', () => {
  const production = {
    NODE_ENV: 'production',
    JWT_SECRET: 'zIuNTwX7eD0L4YhkSDvvr5mqwzgoHrIW',
    ADMIN_PASSWORD: 'Tr0ub4dor-and-3',
  };
  const SEQUENCE = Buffer.from(Array.from({ length: 32 }, (_, at) => at));
  const TEXT = Buffer.from('The quick brown fox jumps over 1');

  test('its own secrets are enough, or a key file instead of the one for tokens', () => {
    expect(problemsOf(production)).toEqual([]);
    expect(problemsOf({ ...production, JWT_SECRET: '', JWT_KEYS_FILE: '/keys.pem' })).toEqual([]);
    const keys = `a:pYcIu3bNRnNB6gqXGbFMHTQPCWRLHjQ0ZIHCH6hIBPc=`;
    const others = { BOOTSTRAP_API_KEY: 'f5b1d7e80c1f4e0f9c0d2a6c3b7e9184', ENCRYPTION_KEYS: keys };
    expect(problemsOf({ ...production, ...others })).toEqual([]);
  });

  test('Postgres and Redis may ask for no password, or for a good one', () => {
    const password = 'f5b1d7e80c1f4e0f9c0d2a6c3b7e9184';
    for (const login of ['', `cache:${password}@`]) {
      const stores = { DATABASE_URL: `postgres://${login}db/cache`, REDIS_URL: `redis://${login}redis:6379` };
      expect(problemsOf({ ...production, ...stores })).toEqual([]);
    }
  });

  test.each<[NodeJS.ProcessEnv, RegExp]>([
    [{ JWT_SECRET: undefined }, /^JWT_SECRET: is required in production; .*openssl rand -base64 32$/],
    [{ JWT_SECRET: 'k3J9'.repeat(8) }, /^JWT_SECRET: repeats itself; .*openssl rand/],
    [{ JWT_SECRET: 'your-secret-key-that-you-should-change' }, /^JWT_SECRET: is made of well-known words; .*openssl/],
    [
      { JWT_ACCEPTED_SECRETS: `${production.JWT_SECRET},${'k3J9'.repeat(8)}` },
      /^JWT_ACCEPTED_SECRETS: repeats itself;/,
    ],
    [{ ADMIN_PASSWORD: '' }, /^ADMIN_PASSWORD: is required in production; .*openssl rand/],
    [{ ADMIN_PASSWORD: '000000000000' }, /^ADMIN_PASSWORD: repeats itself; .*openssl rand/],
    [{ ADMIN_PASSWORD: 'admin@example.com' }, /^ADMIN_PASSWORD: is made of well-known words; .*openssl rand/],
    [
      { ADMIN_EMAIL: 'ada.lovelace@engine.uk', ADMIN_PASSWORD: 'lovelace-engine-1' },
      /^ADMIN_PASSWORD: is made of well-known words; .*openssl rand/,
    ],
    [{ BOOTSTRAP_API_KEY: 'a-key-of-my-own-making' }, /^BOOTSTRAP_API_KEY: must have at least 32 .*openssl rand/],
    [{ BOOTSTRAP_API_KEY: 'my-secret-api-key-for-the-cache-123' }, /^BOOTSTRAP_API_KEY: is made of .*openssl rand/],
    [{ BOOTSTRAP_API_KEY: `ck_live_${'0'.repeat(38)}` }, /^BOOTSTRAP_API_KEY: repeats itself; .*openssl rand/],
    [{ DATABASE_URL: 'postgres://postgres:postgres@db/cache' }, /^DATABASE_URL: has the user name for .*openssl rand/],
    [{ DATABASE_URL: 'postgres://cache:password123@db/cache' }, /^DATABASE_URL: has a password that .*openssl rand/],
    [{ ADMIN_EMAIL: 'adabcq9Zk33xLo@a.uk', ADMIN_PASSWORD: 'adabcq9Zk33xLo-7' }, /^ADMIN_PASSWORD: contains the name/],
    [{ ADMIN_PASSWORD: 'Summer2024!!' }, /^ADMIN_PASSWORD: is made of well-known words; .*openssl rand/],
    [{ JWT_SECRET: 'replace_me_with_openssl_rand_base64_32' }, /^JWT_SECRET: is made of well-known words; /],
    [{ JWT_SECRET: 'thisisasecretkeyforjwtsigningpurposes' }, /^JWT_SECRET: is made of well-known words; /],
    [{ REDIS_SENTINEL_PASSWORD: 'password' }, /^REDIS_SENTINEL_PASSWORD: .*openssl rand/],
    [{ REDIS_URL: 'redis://:changeme@redis:6379' }, /^REDIS_URL: has a password that .*openssl rand/],
    [
      { REDIS_CLUSTER_NODES: 'rediss://a:b%40c@one:1,rediss://redis:redis@two:2' },
      /^REDIS_CLUSTER_NODES: has .*openssl/,
    ],
    [{ ENCRYPTION_KEYS: `k1:${'A'.repeat(43)}=` }, /^ENCRYPTION_KEYS: k1 has too few different bytes; .*openssl rand/],
    [{ ENCRYPTION_KEYS: `a:${SEQUENCE.toString('base64')}` }, /^ENCRYPTION_KEYS: a is a sequence .*openssl rand/],
    [{ ENCRYPTION_KEYS: `a:${TEXT.toString('base64')}` }, /^ENCRYPTION_KEYS: a is a text, .*openssl rand/],
  ])('%j is refused, with the command that makes a good one', (change, problem) => {
    expect(problemsOf({ ...production, ...change })).toEqual([expect.stringMatching(problem)]);
  });

  test('what is too short is told once, with the command', () => {
    const short = { JWT_SECRET: 'secret', ADMIN_PASSWORD: 'changeme', ENCRYPTION_KEYS: 'k1:AAAA' };
    expect(problemsOf({ ...production, ...short })).toEqual([
      expect.stringMatching(/^ADMIN_PASSWORD: must have at least 12 .*openssl rand/),
      expect.stringMatching(/^JWT_SECRET: must have at least 32 .*openssl rand/),
      expect.stringMatching(/^ENCRYPTION_KEYS: must be a list .*openssl rand/),
    ]);
  });

  test('everything that is weak is told at once', () => {
    const problems = problemsOf({
      NODE_ENV: 'production',
      JWT_SECRET: 'x'.repeat(40),
      ADMIN_PASSWORD: 'password1234',
      BOOTSTRAP_API_KEY: 'x'.repeat(40),
      ENCRYPTION_KEYS: `k1:${'A'.repeat(43)},k2:${'A'.repeat(43)}`,
    });
    expect(problems).toHaveLength(5);
  });
});

describe('the sources of the configuration', () => {
  test('are the file and the variables with two underscores in their names', () => {
    const sources = configSources({
      CONFIG_FILE: 'a.toml',
      CACHE__LAYERS__L1__SIZE_MB: '128',
      cache__limits__max_value_bytes: '1',
      PORT: '1',
      EMPTY__ONE: '',
    });
    expect(sources.CONFIG_FILE).toBe(path.resolve('a.toml'));
    expect([...sources.configOverrides]).toEqual([
      ['cache.layers.l1.size_mb', '128'],
      ['cache.limits.max_value_bytes', '1'],
    ]);
  });

  test('are known also when other variables are wrong', () => {
    expect(configSources({ PORT: 'x', CONFIG_FILE: 'a.ini', A__B: '1' }).configOverrides.get('a.b')).toBe('1');
  });
});
