import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { configSchema } from '@cache-system/contracts';
import { StartRefused } from './env.js';
import { LiveConfig, readConfig } from './live-config.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cs-config-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const read = (overrides: Record<string, string> = {}, file?: [name: string, text: string]) => {
  const CONFIG_FILE = file && path.join(folder, file[0]);
  if (file && CONFIG_FILE) writeFileSync(CONFIG_FILE, file[1]);
  return readConfig({ CONFIG_FILE, configOverrides: new Map(Object.entries(overrides)) });
};

function problemsOf(...given: Parameters<typeof read>): readonly string[] {
  try {
    read(...given);
  } catch (error) {
    if (error instanceof StartRefused) return error.problems;
    throw error;
  }
  return [];
}

describe('the configuration', () => {
  test('is all defaults where nothing is given', () => {
    expect(read()).toEqual(configSchema.parse({}));
    expect(read({}, ['empty.yaml', ''])).toEqual(read());
  });

  test('is the same from YAML, TOML and JSON', () => {
    const expected = { cache: { layers: { l1: { size_mb: 128 } } }, rate_limits: { enabled: false } };
    const yaml = read({}, ['a.yaml', 'cache: {layers: {l1: {size_mb: 128}}}\nrate_limits: {enabled: false}']);
    const toml = read({}, ['a.toml', 'cache.layers.l1.size_mb = 128\n[rate_limits]\nenabled = false']);
    const json = read({}, ['a.json', JSON.stringify(expected)]);
    expect(yaml).toMatchObject(expected);
    expect(toml).toEqual(yaml);
    expect(json).toEqual(yaml);
  });

  test('is what the environment says over what the file says', () => {
    const file: [string, string] = ['b.yaml', 'cache: {layers: {l1: {size_mb: 128, ttl_default: 7}}}'];
    expect(read({ 'cache.layers.l1.size_mb': '512' }, file).cache.layers.l1).toMatchObject({
      size_mb: 512,
      ttl_default: 7,
    });
  });

  test('takes lists, booleans and texts from the environment', () => {
    const config = read({
      'security.authentication.methods': '["jwt"]',
      'security.authentication.api_key_in_query': 'false',
      'rate_limits.default_tier': 'pro',
    });
    expect(config.security.authentication).toMatchObject({ methods: ['jwt'], api_key_in_query: false });
    expect(config.rate_limits.default_tier).toBe('pro');
  });

  test('does not take what other software finds in the environment', () => {
    expect(read({ 'npm.config': '1', '.claude': 'x' })).toEqual(read());
  });

  test('is frozen to the last leaf', () => {
    const config = read();
    expect(() => Object.assign(config.cache.layers.l1, { size_mb: 1 })).toThrow(TypeError);
    expect(() => (config.security.authentication.methods as string[]).push('none')).toThrow(TypeError);
  });

  test('with mistakes is refused with all of them', () => {
    expect(problemsOf({ 'cache.layers.l1.size_mb': '1', 'server.speed': '9', 'cache.layers': '3' })).toEqual([
      expect.stringMatching(/^config cache\.layers: .*object/),
      expect.stringMatching(/^config server: .*"speed"/),
    ]);
    expect(problemsOf({}, ['root.json', '{"surprise":1}'])).toEqual([expect.stringMatching(/^config: .*"surprise"/)]);
  });

  test.each<[string, string]>([
    ['list.yaml', '- 1'],
    ['text.json', '"x"'],
    ['broken.json', '{'],
    ['broken.toml', 'a ='],
    ['broken.yaml', 'a: [1'],
  ])('in a file that holds none is refused: %s', (name, text) => {
    expect(problemsOf({}, [name, text])).toEqual([
      expect.stringContaining(`CONFIG_FILE: ${path.join(folder, name)}: `),
    ]);
  });

  test('reaches no prototype', () => {
    problemsOf({ 'cache.__proto__.polluted': '1', 'cache.constructor.prototype.polluted': '1' });
    problemsOf({}, ['proto.json', '{"cache":{"__proto__":{"polluted":1}}}']);
    expect({}).not.toHaveProperty('polluted');
  });
});

describe('whoever follows the configuration', () => {
  test('gets the one in force at once, and each that replaces it', () => {
    const live = new LiveConfig(read());
    const seen: number[] = [];
    live.follow(({ cache }) => seen.push(cache.layers.l1.size_mb));
    live.replace(read({ 'cache.layers.l1.size_mb': '100' }));
    live.replace(configSchema.parse({ cache: { layers: { l1: { size_mb: 200 } } } }));
    expect(seen).toEqual([256, 100, 200]);
    expect(live.current.cache.layers.l1.size_mb).toBe(200);
    expect(Object.isFrozen(live.current.cache.layers.l1)).toBe(true);
  });
});

describe('names that reach a prototype', () => {
  const evil = '{"polluted":true,"enabled":false}';

  test.each<[name: string, text: string]>([
    ['p.json', `{"__proto__":${evil}}`],
    ['p.json', `{"rate_limits":{"__proto__":${evil}}}`],
    ['p.json', `{"constructor":{"prototype":${evil}}}`],
    ['p.yaml', `__proto__: ${evil}`],
    ['p.yaml', `rate_limits: {__proto__: ${evil}}`],
    ['p.yaml', `a: &a ${evil}\nrate_limits: {<<: *a, __proto__: *a}`],
    ['p.toml', '[__proto__]\npolluted = true'],
    ['p.toml', '[rate_limits.__proto__]\nenabled = false'],
    ['p.toml', 'constructor.prototype.polluted = true'],
  ])('in %s change nothing: %s', (name, text) => {
    try {
      expect(read({}, [name, text])).toEqual(read());
    } catch (error) {
      expect(error).toBeInstanceOf(StartRefused);
    }
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    expect(read().rate_limits.enabled).toBe(true);
  });

  test.each([
    '__proto__.polluted',
    'constructor.prototype.polluted',
    'server.__proto__.polluted',
    'server.constructor.prototype.polluted',
    'rate_limits.__proto__.enabled',
    'rate_limits.__proto__',
  ])('in the environment change nothing: %s', (path) => {
    for (const text of ['true', evil]) {
      try {
        expect(read({ [path]: text })).toEqual(read());
      } catch (error) {
        expect(error).toBeInstanceOf(StartRefused);
      }
    }
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    expect(read().rate_limits.enabled).toBe(true);
  });
});
