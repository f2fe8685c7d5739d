import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { TooDeep } from './errors.js';
import { MalformedJson, requireJson } from './validate.js';

const JSON_TEXTS = path.resolve(__dirname, '../../../../../shared/data/bad-input/jsontestsuite');
/** The data lies beside the repository and may be absent. */
const whereTexts = existsSync(JSON_TEXTS) ? describe : describe.skip;

/** What is wrong with a text, if anything; fails where anything but the one error is thrown. */
function mistakeIn(text: string): MalformedJson | undefined {
  try {
    requireJson(text, Infinity);
    return undefined;
  } catch (error) {
    if (!(error instanceof MalformedJson)) throw error;
    return error;
  }
}

function isParsed(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function expectSameAsParse(text: string): void {
  expect({ text, isAccepted: mistakeIn(text) === undefined }).toEqual({ text, isAccepted: isParsed(text) });
}

/** One of these, and the closing brackets, complete whatever is the beginning of a JSON text. */
const COMPLETIONS = ['', '0', '"', 'n"', '0"', '00"', '000"', '0000"', '"":0']
  .concat(['true', 'false', 'null'].flatMap((literal) => Array.from(literal, (_, index) => literal.slice(index + 1))))
  .flatMap((value) => [value, `${value}:0`]);

function isBeginning(text: string): boolean {
  const closings: string[] = [];
  for (const bracket of text.replaceAll(/"(?:[^"\\]|\\.)*"?/gsu, '').match(/[[\]{}]/g) ?? []) {
    if (bracket === '[') closings.unshift(']');
    else if (bracket === '{') closings.unshift('}');
    else closings.shift();
  }
  return COMPLETIONS.some((completion) => isParsed(text + completion + closings.join('')));
}

/** The mistake is at the first place up to which the text could still have become JSON. */
function expectOffsetAtMistake(text: string): void {
  const offset = mistakeIn(text)?.offset;
  if (offset === undefined) return;
  expect(isBeginning(text.slice(0, offset))).toBe(true);
  if (offset < text.length) expect(isBeginning(text.slice(0, offset + 1))).toBe(false);
}

const fragment = fc.constantFrom(
  ...Array.from('{}[]",:\\/+-.0123456789eEaAfFbnrtuxlsUgG \t\n\r\v\f\b\0\u001f\u007f\u00a0\u2028\ufeff\ud800\udc00é𝄞'),
  ...['""', '"a"', '"":', 'true', 'false', 'null', '-0', '1.5', '1e', '\\u', '\\"', '\\\\', '{}', '[]', '[[', '}}'],
);
const fragments = fc.array(fragment, { maxLength: 12 }).map((parts) => parts.join(''));
const validText = fc
  .tuple(fc.jsonValue({ stringUnit: 'binary' }), fc.constantFrom('', ' ', '\t'), fc.boolean())
  .map(([value, indent, isEscaped]) => {
    const text = JSON.stringify(value, undefined, indent);
    if (!isEscaped) return text;
    return text.replaceAll(/[^ -~\s]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  });
const mutatedText = fc
  .tuple(validText, fc.array(fc.tuple(fc.nat(), fc.nat(3), fragments), { minLength: 1, maxLength: 3 }))
  .map(([valid, changes]) => {
    let text = valid;
    for (const [place, cutLength, inserted] of changes) {
      const at = place % (text.length + 1);
      text = text.slice(0, at) + inserted + text.slice(at + cutLength);
    }
    return text;
  });

describe('requireJson accepts and refuses what JSON.parse does', () => {
  test('of texts of any characters', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), expectSameAsParse), { numRuns: 2000 });
  });

  test('of pieces of JSON in any order', () => {
    fc.assert(fc.property(fragments, expectSameAsParse), { numRuns: 10_000 });
  });

  test('of JSON as it is written and with some characters changed, cut or added', () => {
    fc.assert(fc.property(validText, expectSameAsParse), { numRuns: 2000 });
    fc.assert(fc.property(mutatedText, expectSameAsParse), { numRuns: 10_000 });
  });

  test('of every code unit up to the last white space of Unicode, alone, in a string, behind a backslash and between tokens', () => {
    for (let code = 0; code <= 0x3000; code++) {
      const unit = String.fromCharCode(code);
      for (const text of [unit, `"${unit}"`, `"\\${unit}"`, `"\\u00e${unit}"`, `[1${unit}]`, `[0${unit}]`]) {
        if ((mistakeIn(text) === undefined) !== isParsed(text)) throw new Error(JSON.stringify(text));
      }
    }
  });

  whereTexts('of JSONTestSuite', () => {
    const files = existsSync(JSON_TEXTS)
      ? readdirSync(JSON_TEXTS, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.json'))
      : [];

    test('every file', () => {
      expect(files.length).toBeGreaterThan(300);
      for (const file of files) {
        const text = readFileSync(path.join(JSON_TEXTS, file), 'utf8');
        expect({ file, isAccepted: mistakeIn(text) === undefined }).toEqual({ file, isAccepted: isParsed(text) });
      }
    });
  });
});

describe('the offset of a mistake', () => {
  test.each<[string, number, string]>([
    ['', 0, 'a value expected'],
    [' \n', 2, 'a value expected'],
    ['\ufeff1', 0, 'a value expected'],
    ['{"a":1}}', 7, 'the end expected'],
    ['["é" x]', 5, "',' or ']' expected"],
    ['{"𝄞":1 x}', 8, "',' or '}' expected"],
    ['[1}', 2, "',' or ']' expected"],
    ['[1,]', 3, 'a value expected'],
    ['[[],[', 5, 'a value expected'],
    ['{"a":1,}', 7, 'a name in quotes expected'],
    ['{a:1}', 1, 'a name in quotes expected'],
    ['{"a" 1}', 5, "':' expected"],
    ['{"a":}', 5, 'a value expected'],
    ['"abc', 4, "'\"' expected"],
    ['"a\tb"', 2, 'a control character in a string'],
    [String.raw`"a\x"`, 3, 'an escape expected'],
    ['"a\\', 3, 'an escape expected'],
    [String.raw`"\u12g4"`, 5, 'a hexadecimal digit expected'],
    ['01', 1, 'the end expected'],
    ['[-]', 2, 'a digit expected'],
    ['1.', 2, 'a digit expected'],
    ['1e+', 3, 'a digit expected'],
    ['[nul]', 4, "'null' expected"],
    ['tru', 3, "'true' expected"],
  ])('in %j is %i: %s', (text, offset, reason) => {
    expect(() => {
      requireJson(text, 10);
    }).toThrow(new MalformedJson(offset, reason));
    expect(mistakeIn(text)?.offset).toBe(offset);
    expectOffsetAtMistake(text);
  });

  test('is where the text stops being the beginning of JSON', () => {
    fc.assert(fc.property(fragments, expectOffsetAtMistake), { numRuns: 2000 });
    fc.assert(fc.property(mutatedText, expectOffsetAtMistake), { numRuns: 2000 });
  });
});

describe('the depth', () => {
  const arrays = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
  const objects = (depth: number) => `${'{"a":'.repeat(depth)}0${'}'.repeat(depth)}`;
  const validate = (text: string, maxDepth: number) => () => {
    requireJson(text, maxDepth);
  };

  test('is refused exactly beyond the limit, and levels that were closed do not count', () => {
    expect(validate('"[{"', 0)).not.toThrow();
    for (const limit of [0, 1, 2, 100]) {
      for (const nested of [arrays, objects]) {
        expect(validate(nested(limit + 1), limit)).toThrow(new TooDeep(limit));
        if (limit > 0) expect(validate(nested(limit), limit)).not.toThrow();
        if (limit > 1) expect(validate(`[${nested(limit - 1)},${nested(limit - 1)}]`, limit)).not.toThrow();
      }
    }
  });

  test('decides between the two errors by which comes first', () => {
    expect(validate('[[[', 2)).toThrow(TooDeep);
    expect(validate('[[}[', 2)).toThrow(MalformedJson);
  });

  test('costs no recursion', () => {
    expect(validate(arrays(1_000_000), Infinity)).not.toThrow();
    expect(validate(objects(1_000_000), 100)).toThrow(TooDeep);
  });
});
