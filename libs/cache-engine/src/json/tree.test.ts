import { TooDeep } from './errors.js';
import { MAX_DEPTH } from './scan.js';
import { type JsonArray, type JsonObject, parse, print } from './tree.js';

describe('print', () => {
  test.each(['1e400', '"\\ud800"', '[ 1.0 , -0 ]', '{ "a" : 1, "a" : 2, "__proto__" : {} }'])(
    'gives %s back as it was written',
    (text) => {
      expect(print(parse(`\n${text} `))).toBe(text);
    },
  );

  test('gives back what nobody opened at any depth', () => {
    const text = '['.repeat(100_000) + ']'.repeat(100_000);
    expect(print(parse(text))).toBe(text);
  });

  test('gives back what was only looked into as it was written', () => {
    const node = parse('{ "a" : 1, "a" : [ 2 ] }') as JsonObject;
    expect((node.members.get('a')!.value as JsonArray).items.map((item) => item.text)).toEqual(['2']);
    expect(print(node)).toBe('{ "a" : 1, "a" : [ 2 ] }');
  });

  test('keeps the spelling of names and of untouched members in an object that changed', () => {
    const node = parse(String.raw`{ "\u0061" : 1 , "2" : 1.0, "1" : { "x" : 1, "x" : 2 }, "\ud800":0 }`) as JsonObject;
    node.set('a', parse('true'));
    node.set('new "name"', parse('-0'));
    expect(print(node)).toBe(String.raw`{"\u0061":true,"2":1.0,"1":{ "x" : 1, "x" : 2 },"\ud800":0,"new \"name\"":-0}`);
  });

  test('refuses opened levels beyond the limit instead of exhausting the stack', () => {
    let node = parse('[]') as JsonArray;
    const root = node;
    for (let level = 0; level < MAX_DEPTH; level++) {
      const child = parse('[0]') as JsonArray;
      child.change();
      node.change().push(child);
      node = child;
    }
    expect(() => print(root)).toThrow(TooDeep);
  });
});
