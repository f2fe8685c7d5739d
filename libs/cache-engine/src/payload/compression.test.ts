import { randomBytes } from 'node:crypto';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import {
  compress,
  decompress,
  ENTRY_ALGORITHMS,
  type EntryAlgorithm,
  inflateRequestBody,
  MAX_RAW_BYTES,
  REQUEST_ENCODINGS,
} from './compression.js';
import { DamagedPayload, InflatesTooLarge } from './errors.js';

const MIB = 1024 * 1024;

async function packed(bytes: Buffer, algorithm: EntryAlgorithm): Promise<Buffer> {
  const compressed = await compress(bytes, algorithm);
  if (compressed === undefined) throw new Error('does not pay');
  return compressed;
}

async function failure(act: () => unknown): Promise<unknown> {
  try {
    await act();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** Text as JSON has it: compressible, but not to nothing. */
function records(bytes: number): Buffer {
  const lines: string[] = [];
  for (let id = 0, length = 0; length < bytes; id++) {
    const line = JSON.stringify({ id: (id * 7919) % 100_003, name: `user-${(id * 31) % 977}`, active: id % 3 === 0 });
    length += lines.push(line) && line.length;
  }
  return Buffer.from(lines.join('')).subarray(0, bytes);
}

describe.each(ENTRY_ALGORITHMS)('%s', (algorithm) => {
  test('gives back what was compressed', async () => {
    const compressible = fc
      .tuple(fc.uint8Array({ minLength: 1, maxLength: 64 }), fc.integer({ min: 1, max: 3000 }))
      .map(([unit, times]) => Buffer.concat(Array.from({ length: times }, () => unit)));
    await fc.assert(
      fc.asyncProperty(compressible, async (bytes) => {
        const compressed = await compress(bytes, algorithm);
        if (compressed !== undefined) {
          expect(compressed.length).toBeLessThanOrEqual((bytes.length * 7) / 8);
          expect(bytes.equals(await decompress(compressed, algorithm, bytes.length))).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });

  test.each([1024, 16_384, 16_385, 65_536, 65_537, 131_072, 131_073, 262_144, MIB])(
    'gives back what was compressed, at once or not: %d bytes',
    async (bytes) => {
      const value = records(bytes);
      expect(value.equals(await decompress(await packed(value, algorithm), algorithm, bytes))).toBe(true);
    },
  );

  test('keeps as they are bytes that hardly get shorter', async () => {
    for (const bytes of [0, 1, 32, 1000, 300_000])
      expect(await compress(randomBytes(bytes), algorithm)).toBeUndefined();
    const barely = Buffer.concat([randomBytes(9000), Buffer.alloc(1000)]);
    expect(await compress(barely, algorithm)).toBeUndefined();
    const compressible = Buffer.concat([barely, Buffer.alloc(1000)]);
    const compressed = await compress(compressible, algorithm);
    expect(compressed!.length).toBeLessThan(compressible.length * (7 / 8));
    expect(await decompress(compressed!, algorithm, compressible.length)).toEqual(compressible);
  });

  test('holds on to no more memory than its result takes', async () => {
    const value = records(2000);
    const compressed = await packed(value, algorithm);
    expect(compressed.buffer.byteLength).toBe(compressed.length);
    expect((await decompress(compressed, algorithm, value.length)).buffer.byteLength).toBe(value.length);
  });

  test('never gives other bytes than were compressed when any byte has changed', async () => {
    const value = records(700);
    const compressed = await packed(value, algorithm);
    for (let at = 0; at < compressed.length; at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const damaged = Buffer.from(compressed);
        damaged.writeUInt8(damaged.readUInt8(at) ^ flip, at);
        try {
          expect(value.equals(await decompress(damaged, algorithm, value.length))).toBe(true);
        } catch (error) {
          expect([DamagedPayload, InflatesTooLarge]).toContain((error as Error).constructor);
        }
      }
    }
  });

  test('refuses what is cut short, longer, empty or something else', async () => {
    for (const value of [records(700), records(200_000)]) {
      const compressed = await packed(value, algorithm);
      const step = Math.ceil(compressed.length / 300);
      for (let end = 0; end < compressed.length; end += step) {
        const cut = compressed.subarray(0, end);
        expect(await failure(() => decompress(cut, algorithm, value.length))).toBeInstanceOf(DamagedPayload);
      }
    }
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.nat(1000), async (bytes, rawBytes) => {
        expect(await failure(() => decompress(Buffer.from(bytes), algorithm, rawBytes))).toBeInstanceOf(DamagedPayload);
      }),
    );
  });

  test('refuses what holds less or more than its header says', async () => {
    for (const bytes of [1000, 300_000]) {
      const compressed = await packed(records(bytes), algorithm);
      for (const rawBytes of [0, 1, bytes - 1]) {
        const error = await failure(() => decompress(compressed, algorithm, rawBytes));
        expect([DamagedPayload, InflatesTooLarge]).toContain((error as Error).constructor);
      }
      for (const rawBytes of [bytes + 1, bytes + 131_072, MIB]) {
        expect(await failure(() => decompress(compressed, algorithm, rawBytes))).toBeInstanceOf(DamagedPayload);
      }
    }
  });

  test('has a limit that no header raises', async () => {
    const compressed = await packed(Buffer.alloc(2 * MIB), algorithm);
    expect(await failure(() => decompress(compressed, algorithm, 2 * MIB, 2 * MIB - 1))).toEqual(
      new InflatesTooLarge(2 * MIB - 1),
    );
    expect((await decompress(compressed, algorithm, 2 * MIB, 2 * MIB)).length).toBe(2 * MIB);
    expect(await failure(() => decompress(compressed, algorithm, MAX_RAW_BYTES + 1))).toBeInstanceOf(InflatesTooLarge);
  });

  test('handles the largest value there is, and stops at one byte less', async () => {
    const value = Buffer.alloc(MAX_RAW_BYTES, 'cache');
    const compressed = await packed(value, algorithm);
    expect(value.equals(await decompress(compressed, algorithm, MAX_RAW_BYTES))).toBe(true);
    const error = await failure(() => decompress(compressed, algorithm, MAX_RAW_BYTES - 1));
    expect([DamagedPayload, InflatesTooLarge]).toContain((error as Error).constructor);
  });

  test('lets others have their turn while it works on a large value', async () => {
    const value = records(4 * MIB);
    const fewestTurns = algorithm === 'zstd' ? 31 : 1;
    let turns = 0;
    let working = true;
    const count = () => {
      turns++;
      if (working) setImmediate(count);
    };
    setImmediate(count);
    const compressed = await packed(value, algorithm);
    const turnsOfCompress = turns;
    await decompress(compressed, algorithm, value.length);
    working = false;
    expect(turnsOfCompress).toBeGreaterThanOrEqual(fewestTurns);
    expect(turns - turnsOfCompress).toBeGreaterThanOrEqual(fewestTurns);
  });
});

describe('body of a request', () => {
  const encoders = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync };

  test.each(REQUEST_ENCODINGS)('in %s comes out as it was, up to the limit', async (encoding) => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 5000 }), async (bytes) => {
        const body = encoders[encoding](bytes);
        const inflated = await inflateRequestBody(body, encoding, Math.max(bytes.length, 1));
        expect(inflated.equals(bytes)).toBe(true);
        if (bytes.length > 1) {
          const error = await failure(() => inflateRequestBody(body, encoding, bytes.length - 1));
          expect(error).toEqual(new InflatesTooLarge(bytes.length - 1));
        }
      }),
      { numRuns: 50 },
    );
  });

  test('may be bare deflate, as some clients send it', async () => {
    const body = records(5000);
    expect(body.equals(await inflateRequestBody(deflateRawSync(body), 'deflate', 5000))).toBe(true);
  });

  test.each(REQUEST_ENCODINGS)('in %s is refused when it is damaged, cut short or empty', async (encoding) => {
    const body = encoders[encoding](records(5000));
    for (let end = 0; end < body.length; end += 7) {
      const error = await failure(() => inflateRequestBody(body.subarray(0, end), encoding, 5000));
      expect(error).toBeInstanceOf(DamagedPayload);
    }
    const error = await failure(() => inflateRequestBody(Buffer.from('{"value":1}'), encoding, 5000));
    expect(error).toBeInstanceOf(DamagedPayload);
  });

  test.each(REQUEST_ENCODINGS)('in %s that inflates to far more is refused without room for it', async (encoding) => {
    const part = encoders[encoding](Buffer.alloc(16 * MIB));
    // Members of gzip follow each other (RFC 1952, section 2.2): 1 MiB that is 1 GiB.
    const bomb = encoding === 'gzip' ? Buffer.concat(Array.from({ length: 64 }, () => part)) : part;
    const peakKib = () => process.resourceUsage().maxRSS;
    const before = peakKib();
    expect(await failure(() => inflateRequestBody(bomb, encoding, MIB))).toEqual(new InflatesTooLarge(MIB));
    expect(peakKib() - before).toBeLessThan(40 * 1024);
  });
});
