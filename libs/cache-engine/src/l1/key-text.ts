const UTF16 = 2;
const HEADER_BYTES = 24;
let scratch = Buffer.allocUnsafeSlow(4096);

/** What a key takes on the heap at most. */
export function keyBytes(key: string): number {
  return HEADER_BYTES + key.length * UTF16;
}

/**
 * A key of its own. A key is put together from parts of a request, and V8 would keep the whole text of which it is a
 * part for as long as the key lives.
 */
export function ownKey(key: string): string {
  const bytes = key.length;
  if (bytes > scratch.length) scratch = Buffer.allocUnsafeSlow(bytes * 2);
  scratch.write(key, 'latin1');
  const own = scratch.toString('latin1', 0, bytes);
  return own === key ? own : Buffer.from(key, 'utf16le').toString('utf16le');
}
