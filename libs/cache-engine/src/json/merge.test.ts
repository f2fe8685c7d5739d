import { MergeNotPossible, TooDeep } from './errors.js';
import { deepMerge, mergePatch, shallowMerge } from './merge.js';

type Plain = null | boolean | number | string | Plain[] | { [name: string]: Plain };

/** mulberry32: seeded, so that a failing case comes back. */
function randomOf(seed: number): (end: number) => number {
  let state = seed;
  return (end) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % end;
  };
}

function randomObject(random: (end: number) => number, depth: number): { [name: string]: Plain } {
  const names = ['a', 'b', 'c', 'quo"te', 'back\\slash', 'ż', 'null'].filter(() => random(2) === 0);
  return Object.fromEntries(names.map((name) => [name, randomValue(random, depth)]));
}

function randomValue(random: (end: number) => number, depth: number): Plain {
  if (depth > 0 && random(2) === 0) return randomObject(random, depth - 1);
  const scalars: Plain[] = [null, true, random(1000) / 8, -random(1000), 'te"xt \\', '{"a":null}', '', []];
  if (random(5) === 0) return Array.from({ length: random(3) }, () => randomValue(random, depth - 1));
  return scalars[random(scalars.length)]!;
}

const isObject = (value: Plain | undefined): value is { [name: string]: Plain } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function naiveDeepMerge(target: { [name: string]: Plain }, patch: { [name: string]: Plain }): Plain {
  const merged = { ...target };
  for (const [name, value] of Object.entries(patch)) {
    const current = merged[name];
    merged[name] = isObject(current) && isObject(value) ? naiveDeepMerge(current, value) : value;
  }
  return merged;
}

/** The pseudocode of RFC 7396, section 2. */
function naiveMergePatch(target: Plain | undefined, patch: Plain): Plain {
  if (!isObject(patch)) return patch;
  const merged = new Map(isObject(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, naiveMergePatch(merged.get(name), value));
  }
  return Object.fromEntries(merged);
}

const LOSSLESS = String.raw`{"9":12345678901234567890,"1":-0,"f":1.0,"e":1e400,"s":"\ud800\u0041","d":{ "x":1, "x":2 },"__proto__":{"y":1},"constructor":[ 1 ]}`;

describe.each([
  ['deepMerge', deepMerge],
  ['shallowMerge', shallowMerge],
  ['mergePatch', mergePatch],
])('%s', (_, merge) => {
  test('loses nothing of what the patch does not name', () => {
    expect(merge(LOSSLESS, '{"new":true}')).toBe(`${LOSSLESS.slice(0, -1)},"new":true}`);
  });

  test('loses nothing of the patch', () => {
    expect(merge('{"a":0}', LOSSLESS)).toBe(`{"a":0,${LOSSLESS.slice(1)}`);
  });

  test('gives the target back as it was written for an empty patch', () => {
    expect(merge(' { "b" : 1, "b" : 2 }\n', '{}')).toBe('{ "b" : 1, "b" : 2 }');
  });

  test('keeps the place and the spelling of a name that it replaces', () => {
    expect(merge(String.raw`{"\u0061":1,"b":2}`, '{"c":3,"a":4.0}')).toBe(String.raw`{"\u0061":4.0,"b":2,"c":3}`);
  });

  test('sets __proto__ as a member and touches no prototype', () => {
    expect(merge('{"__proto__":1}', '{"__proto__":{"polluted":true}}')).toBe('{"__proto__":{"polluted":true}}');
    expect('polluted' in {}).toBe(false);
  });

  test('reads the last of repeated names, as JSON.parse does', () => {
    expect(merge('{"a":1,"b":0,"a":2}', '{"c":3,"c":4}')).toBe('{"a":2,"b":0,"c":4}');
  });

  test('refuses nesting that could exhaust the stack', () => {
    const deep = '{"a":'.repeat(100_000) + '1' + '}'.repeat(100_000);
    expect(() => merge(deep, deep)).toThrow(TooDeep);
  });
});

describe('deepMerge', () => {
  test('merges objects at every level and leaves the untouched ones as they were written', () => {
    expect(deepMerge('{"a":{"b":{"x":1, "y":2},"c":{ "z" : 1.0 }}}', '{"a":{"b":{"y":3,"w":-0}}}')).toBe(
      '{"a":{"b":{"x":1,"y":3,"w":-0},"c":{ "z" : 1.0 }}}',
    );
  });

  test.each([
    ['{"a":{"b":1}}', '{"a":[2]}', '{"a":[2]}'],
    ['{"a":{"b":1}}', '{"a":null}', '{"a":null}'],
    ['{"a":{"b":1}}', '{"a":2}', '{"a":2}'],
    ['{"a":[1,2]}', '{"a":[3]}', '{"a":[3]}'],
    ['{"a":1}', '{"a":{ "b": null }}', '{"a":{ "b": null }}'],
    ['{"a":{"__proto__":{"x":1}}}', '{"a":{"__proto__":{"y":2}}}', '{"a":{"__proto__":{"x":1,"y":2}}}'],
  ])('merges %s with %s', (target, patch, merged) => {
    expect(deepMerge(target, patch)).toBe(merged);
  });

  test('agrees with a merge of plain objects', () => {
    const random = randomOf(6902);
    for (let round = 0; round < 1000; round++) {
      const [target, patch] = [randomObject(random, 4), randomObject(random, 4)];
      const merged = deepMerge(JSON.stringify(target, null, random(3)), JSON.stringify(patch, null, random(3)));
      // Compared as text too: the order of the members is part of the promise.
      expect(JSON.stringify(JSON.parse(merged))).toBe(JSON.stringify(naiveDeepMerge(target, patch)));
    }
  });
});

test('shallowMerge replaces top-level members whole', () => {
  expect(shallowMerge('{"a":{"b":1},"c":2}', '{"a":{"d":null},"e":3}')).toBe('{"a":{"d":null},"c":2,"e":3}');
});

test.each([
  ['[1]', '{}', 'the value is not an object'],
  ['"{"', '{}', 'the value is not an object'],
  ['{}', 'null', 'the patch is not an object'],
  ['{}', '[{}]', 'the patch is not an object'],
])('deepMerge and shallowMerge refuse %s with %s', (target, patch, reason) => {
  for (const merge of [deepMerge, shallowMerge]) {
    expect(() => merge(target, patch)).toThrow(new MergeNotPossible(reason));
  }
});

describe('mergePatch', () => {
  test.each([
    ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
    ['{"a":"b"}', '{"a":null}', '{}'],
    ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
    ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
    ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
    ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
    ['["a","b"]', '["c","d"]', '["c","d"]'],
    ['{"a":"b"}', '["c"]', '["c"]'],
    ['{"a":"foo"}', 'null', 'null'],
    ['{"a":"foo"}', '"bar"', '"bar"'],
    ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
    ['[1,2]', '{"a":"b","c":null}', '{"a":"b"}'],
    ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
  ])('RFC 7396 appendix A: %s with %s', (target, patch, patched) => {
    expect(mergePatch(target, patch)).toBe(patched);
  });

  test('agrees with the pseudocode of RFC 7396', () => {
    const random = randomOf(7396);
    for (let round = 0; round < 1000; round++) {
      const [target, patch] = [randomValue(random, 4), randomValue(random, 4)];
      const patched = mergePatch(JSON.stringify(target, null, random(3)), JSON.stringify(patch, null, random(3)));
      expect(JSON.stringify(JSON.parse(patched))).toBe(JSON.stringify(naiveMergePatch(target, patch)));
    }
  });
});
