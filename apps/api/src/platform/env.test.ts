import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { configSources, readEnvironment, StartRefused } from './env.js';

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
    ['REDIS_URL', ['redis://a', 'rediss://u:p@a:6380/1'], ['a:6379', 'http://a']],
    ['REDIS_CLUSTER_NODES', [], ['a:1']],
    ['CONFIG_FILE', ['/a.yaml', 'a.yml', 'a.TOML', 'a.json'], ['a.ini', 'yaml']],
    ['ADMIN_EMAIL', ['a@b.co'], ['a', 'a@b']],
    ['ADMIN_PASSWORD', ['x'.repeat(12)], ['x'.repeat(11)]],
    [
      'BOOTSTRAP_API_KEY',
      ['x'.repeat(20), '!~'.repeat(64)],
      ['x'.repeat(19), 'x'.repeat(129), 'x'.repeat(20) + ' ', 'é'.repeat(20)],
    ],
    ['JWT_SECRET', ['x'.repeat(32)], ['x'.repeat(31)]],
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
  const production = { NODE_ENV: 'production', JWT_SECRET: 'k3J9'.repeat(8), ADMIN_PASSWORD: 'Tr0ub4dor-and-3' };

  test('its own secrets are enough', () => {
    expect(problemsOf(production)).toEqual([]);
  });

  test.each([
    { JWT_SECRET: undefined },
    { JWT_SECRET: 'a'.repeat(64) },
    { JWT_SECRET: 'your-secret-key-that-you-should-change' },
    { ADMIN_PASSWORD: '' },
    { ADMIN_PASSWORD: '000000000000' },
  ])('%j is refused', (change) => {
    expect(problemsOf({ ...production, ...change })).toEqual([expect.stringContaining('openssl rand')]);
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
