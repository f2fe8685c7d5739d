import { MalformedJsonPatch, MergeNotPossible, TooDeep } from './errors.js';
import { applyJsonPatch, parseJsonPatch } from './json-patch.js';

const patch = (target: string, patchText: string) => applyJsonPatch(target, parseJsonPatch(patchText));

function refusal(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  throw new Error('was not refused');
}

describe('RFC 6902 appendix A', () => {
  test.each([
    ['A.1', '{"foo":"bar"}', '[{"op":"add","path":"/baz","value":"qux"}]', '{"foo":"bar","baz":"qux"}'],
    ['A.2', '{"foo":["bar","baz"]}', '[{"op":"add","path":"/foo/1","value":"qux"}]', '{"foo":["bar","qux","baz"]}'],
    ['A.3', '{"baz":"qux","foo":"bar"}', '[{"op":"remove","path":"/baz"}]', '{"foo":"bar"}'],
    ['A.4', '{"foo":["bar","qux","baz"]}', '[{"op":"remove","path":"/foo/1"}]', '{"foo":["bar","baz"]}'],
    ['A.5', '{"baz":"qux","foo":"bar"}', '[{"op":"replace","path":"/baz","value":"boo"}]', '{"baz":"boo","foo":"bar"}'],
    [
      'A.6',
      '{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}',
      '[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]',
      '{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}',
    ],
    [
      'A.7',
      '{"foo":["all","grass","cows","eat"]}',
      '[{"op":"move","from":"/foo/1","path":"/foo/3"}]',
      '{"foo":["all","cows","eat","grass"]}',
    ],
    [
      'A.8',
      '{"baz":"qux","foo":["a",2,"c"]}',
      '[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]',
      '{"baz":"qux","foo":["a",2,"c"]}',
    ],
    [
      'A.10',
      '{"foo":"bar"}',
      '[{"op":"add","path":"/child","value":{"grandchild":{}}}]',
      '{"foo":"bar","child":{"grandchild":{}}}',
    ],
    ['A.11', '{"foo":"bar"}', '[{"op":"add","path":"/baz","value":"qux","xyz":123}]', '{"foo":"bar","baz":"qux"}'],
    ['A.14', '{"/":9,"~1":10}', '[{"op":"test","path":"/~01","value":10}]', '{"/":9,"~1":10}'],
    [
      'A.16',
      '{"foo":["bar"]}',
      '[{"op":"add","path":"/foo/-","value":["abc","def"]}]',
      '{"foo":["bar",["abc","def"]]}',
    ],
  ])('%s applies', (_, target, patchText, result) => {
    expect(patch(target, patchText)).toBe(result);
  });

  test.each([
    ['A.9', '{"baz":"qux"}', '[{"op":"test","path":"/baz","value":"bar"}]', MergeNotPossible],
    ['A.12', '{"foo":"bar"}', '[{"op":"add","path":"/baz/bat","value":"qux"}]', MergeNotPossible],
    ['A.13', '{}', '[{"op":"add","path":"/baz","value":"qux","op":"remove"}]', MalformedJsonPatch],
    ['A.15', '{"/":9,"~1":10}', '[{"op":"test","path":"/~01","value":"10"}]', MergeNotPossible],
  ])('%s is refused', (_, target, patchText, error) => {
    expect(() => patch(target, patchText)).toThrow(error);
  });
});

describe('applyJsonPatch', () => {
  test.each([
    ['add', '{"op":"add","path":"/new","value":{ "x" : 1e400 }}', ',"new":{ "x" : 1e400 }'],
    ['copy', '{"op":"copy","from":"/big","path":"/new"}', ',"new":12345678901234567890'],
    ['copy of a subtree', '{"op":"copy","from":"/d","path":"/new"}', ',"new":{ "x":1, "x":-0 }'],
  ])('%s loses nothing, in the value or around it', (_, operation, added) => {
    const target = String.raw`{"9":1.0,"1":-0,"big":12345678901234567890,"s":"\ud800\u0041","d":{ "x":1, "x":-0 },"__proto__":[ 1 ]`;
    expect(patch(`${target}}`, `[${operation}]`)).toBe(`${target}${added}}`);
  });

  test('gives the target back as it was written when operations only read', () => {
    const target = '{ "a" : 1, "a" : { "b" : [ 1.0 ] } }';
    expect(patch(target, '[]')).toBe(target);
    expect(patch(target, '[{"op":"test","path":"/a/b/0","value":1}]')).toBe(target);
    expect(patch(target, '[{"op":"move","from":"/a/b","path":"/a/b"}]')).toBe(target);
  });

  test('a move takes the exact text along, also of a value that was changed before', () => {
    expect(patch('{"a":{ "x":1.0 },"b":[ ]}', '[{"op":"move","from":"/a","path":"/b/0"}]')).toBe('{"b":[{ "x":1.0 }]}');
    expect(
      patch(
        '{"a":{"x":{ "k":-0 }},"b":[]}',
        '[{"op":"add","path":"/a/y","value":2},{"op":"move","from":"/a","path":"/b/-"}]',
      ),
    ).toBe('{"b":[{"x":{ "k":-0 },"y":2}]}');
  });

  test('a copy does not change with its source', () => {
    const operations = '[{"op":"copy","from":"/a","path":"/b"},{"op":"add","path":"/a/0","value":1}]';
    expect(patch('{"a":[ ]}', operations)).toBe('{"a":[1],"b":[ ]}');
  });

  test.each([
    ['add', '[{"op":"add","path":"","value":[ 1 ]}]', '[ 1 ]'],
    ['replace', '[{"op":"replace","path":"","value":null}]', 'null'],
    ['test', '[{"op":"test","path":"","value":{"a":{"b":1.0}}}]', '{"a":{"b":1}}'],
    ['copy from', '[{"op":"copy","from":"","path":"/c"}]', '{"a":{"b":1},"c":{"a":{"b":1}}}'],
    ['copy to', '[{"op":"copy","from":"/a","path":""}]', '{"b":1}'],
    ['move to', '[{"op":"move","from":"/a","path":""}]', '{"b":1}'],
    ['move onto itself of', '[{"op":"move","from":"","path":""}]', '{"a":{"b":1}}'],
  ])('%s the root', (_, patchText, result) => {
    expect(patch('{"a":{"b":1}}', patchText)).toBe(result);
  });

  test('addresses every member of RFC 6901 section 5', () => {
    const target = String.raw`{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}`;
    const values: Record<string, string> = {
      '': target,
      '/foo': '["bar","baz"]',
      '/foo/0': '"bar"',
      '/': '0',
      '/a~1b': '1',
      '/c%d': '2',
      '/e^f': '3',
      '/g|h': '4',
      '/i\\j': '5',
      '/k"l': '6',
      '/ ': '7',
      '/m~0n': '8',
    };
    const tests = Object.entries(values).map(([path, valueText]) => ({ op: 'test' as const, path, valueText }));
    expect(applyJsonPatch(target, tests)).toBe(target);
  });

  test('takes index-like and prototype names for members of an object', () => {
    expect(patch('{"-":1,"01":2}', '[{"op":"remove","path":"/-"},{"op":"replace","path":"/01","value":3}]')).toBe(
      '{"01":3}',
    );
    expect(
      patch('{}', '[{"op":"add","path":"/__proto__","value":{}},{"op":"add","path":"/__proto__/x","value":1}]'),
    ).toBe('{"__proto__":{"x":1}}');
    expect(() => patch('{}', '[{"op":"add","path":"/__proto__/x","value":1}]')).toThrow(MergeNotPossible);
    expect(() => patch('{}', '[{"op":"remove","path":"/constructor"}]')).toThrow(MergeNotPossible);
  });

  test('add at the length of an array appends', () => {
    expect(patch('[1]', '[{"op":"add","path":"/1","value":2}]')).toBe('[1,2]');
  });

  test.each([
    ['{"op":"add","path":"/a/3","value":0}', 'place 3'],
    ['{"op":"add","path":"/a/99999999999999999999","value":0}', 'place 99999999999999999999'],
    ['{"op":"replace","path":"/a/2","value":0}', 'place 2'],
    ['{"op":"add","path":"/a/01","value":0}', 'not an array index'],
    ['{"op":"add","path":"/a/-1","value":0}', 'not an array index'],
    ['{"op":"add","path":"/a/1e0","value":0}', 'not an array index'],
    ['{"op":"add","path":"/a/","value":0}', 'not an array index'],
    ['{"op":"add","path":"/a/length","value":0}', 'not an array index'],
    ['{"op":"remove","path":"/a/-"}', '`-`'],
    ['{"op":"test","path":"/a/-","value":0}', '`-`'],
    ['{"op":"remove","path":"/x"}', 'no member "x"'],
    ['{"op":"replace","path":"/x","value":1}', 'no member "x"'],
    ['{"op":"test","path":"/x","value":null}', 'no member "x"'],
    ['{"op":"add","path":"/x/y","value":1}', 'no member "x"'],
    ['{"op":"add","path":"/s/y","value":1}', 'without members'],
    ['{"op":"remove","path":""}', 'whole document'],
    ['{"op":"move","from":"/o","path":"/o/p/q"}', 'into itself'],
    ['{"op":"move","from":"","path":"/n"}', 'into itself'],
    ['{"op":"move","from":"/x","path":"/x"}', 'no member "x"'],
    ['{"op":"copy","from":"/x","path":"/n"}', 'no member "x"'],
    ['{"op":"test","path":"/s","value":"T"}', 'a different one'],
  ])('refuses %s', (operation, reason) => {
    const error = refusal(() => patch('{"a":[1,2],"o":{"p":{}},"s":"t"}', `[${operation}]`));
    expect(error).toBeInstanceOf(MergeNotPossible);
    expect((error as MergeNotPossible).reason).toContain(reason);
  });

  test('a move to a name that begins like the source is not a move into itself', () => {
    expect(patch('{"o":1}', '[{"op":"move","from":"/o","path":"/other"}]')).toBe('{"other":1}');
  });

  test('names the operation that was refused', () => {
    const patchText = '[{"op":"add","path":"/b","value":1},{"op":"remove","path":"/x~1y"},{"op":"remove","path":"/b"}]';
    expect(refusal(() => patch('{}', patchText))).toMatchObject({
      reason: 'there is no member "x/y"',
      operation: { index: 1, path: '/x~1y' },
    });
  });

  test('refuses a path that is no JSON Pointer when the operations were not parsed here', () => {
    expect(() => applyJsonPatch('{"a":1}', [{ op: 'remove', path: 'a' }])).toThrow(MergeNotPossible);
  });

  test('refuses a patch that copies the document into itself until memory runs out', () => {
    const doubling = Array.from({ length: 60 }, (_, index) => `{"op":"copy","from":"","path":"/${index}"}`);
    expect(() => patch('{"a":1}', `[${doubling.join()}]`)).toThrow(MergeNotPossible);
    expect(() => applyJsonPatch('["1234"]', [{ op: 'copy', from: '/0', path: '/-' }], 5)).toThrow(MergeNotPossible);
    expect(applyJsonPatch('["1234"]', [{ op: 'copy', from: '/0', path: '/-' }], 6)).toBe('["1234","1234"]');
  });

  test('refuses nesting that could exhaust the stack', () => {
    const level =
      '{"op":"add","path":"/n","value":{}},{"op":"move","from":"/a","path":"/n/a"},{"op":"move","from":"/n","path":"/a"}';
    const levels = Array.from({ length: 20_000 }, () => level);
    expect(() => patch('{"a":{}}', `[${levels.join()}]`)).toThrow(TooDeep);
    const pointer = '/0'.repeat(100_000);
    expect(() => applyJsonPatch('[0]', [{ op: 'remove', path: pointer }])).toThrow(MergeNotPossible);
  });

  test('applies many operations to a large array without reading it again for each', () => {
    const target = `[${Array.from({ length: 100_000 }, (_, index) => index).join()}]`;
    const operations = Array.from({ length: 10_000 }, (_, index) => ({
      op: 'replace' as const,
      path: `/${index}`,
      valueText: '"new"',
    }));
    expect(applyJsonPatch(target, operations)).toContain('"new",10000,');
  });
});

describe('parseJsonPatch', () => {
  test('gives decoded paths and the exact text of values', () => {
    const text = String.raw`[ {"value" : { "x" : 1.0 }, "path":"/\u0061~1", "op":"add", "from":7}, {"op":"copy","from":"","path":"/b"} ]`;
    expect(parseJsonPatch(text)).toEqual([
      { op: 'add', path: '/a~1', valueText: '{ "x" : 1.0 }' },
      { op: 'copy', path: '/b', from: '' },
    ]);
  });

  test('takes null for a value', () => {
    expect(parseJsonPatch('[{"op":"add","path":"/a","value":null}]')).toMatchObject([{ valueText: 'null' }]);
  });

  test.each([
    ['1', 'is an object'],
    ['{}', '`op`'],
    ['{"op":1,"path":""}', '`op`'],
    ['{"op":"Add","path":"","value":1}', '`op` is one of'],
    ['{"op":"constructor","path":""}', '`op` is one of'],
    ['{"op":"remove"}', '`path`'],
    ['{"op":"remove","path":null}', '`path`'],
    ['{"op":"remove","path":"a"}', '`path` is not a JSON Pointer'],
    ['{"op":"remove","path":"/~2"}', '`path` is not a JSON Pointer'],
    ['{"op":"remove","path":"/~"}', '`path` is not a JSON Pointer'],
    ['{"op":"add","path":"/a"}', '`value`'],
    ['{"op":"replace","path":"/a"}', '`value`'],
    ['{"op":"test","path":"/a"}', '`value`'],
    ['{"op":"move","path":"/a"}', '`from`'],
    ['{"op":"copy","path":"/a","from":["/b"]}', '`from`'],
    ['{"op":"copy","path":"/a","from":"b"}', '`from` is not a JSON Pointer'],
    ['{"op":"add","path":"/a","path":"/b","value":1}', 'occurs twice'],
  ])('refuses %s and says which operation it was', (operation, reason) => {
    const error = refusal(() => parseJsonPatch(`[{"op":"remove","path":""},${operation}]`));
    expect(error).toBeInstanceOf(MalformedJsonPatch);
    expect(error).toMatchObject({ operationIndex: 1 });
    expect((error as MalformedJsonPatch).reason).toContain(reason);
  });

  test('refuses a document that is not an array', () => {
    expect(refusal(() => parseJsonPatch('{"op":"remove","path":""}'))).toMatchObject({
      name: 'MalformedJsonPatch',
      operationIndex: undefined,
    });
  });
});
