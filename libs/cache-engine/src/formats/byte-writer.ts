/** Up to this length a loop over the characters is faster than a call into the runtime, and most strings are shorter. */
export const SHORT_TEXT_BYTES = 40;

/** Bytes that grow as they are written. */
export class ByteWriter {
  #bytes = Buffer.allocUnsafe(1024);
  length = 0;

  /** Makes room for so many bytes and gives the buffer to write them to, from the old length on. */
  grow(count: number): Buffer {
    const length = this.length + count;
    if (length > this.#bytes.length) {
      const wider = Buffer.allocUnsafeSlow(Math.max(length, 2 * this.#bytes.length));
      this.#bytes.copy(wider, 0, 0, this.length);
      this.#bytes = wider;
    }
    this.length = length;
    return this.#bytes;
  }

  byte(value: number): void {
    const at = this.length;
    this.grow(1)[at] = value;
  }

  bytes(bytes: Uint8Array): void {
    const at = this.length;
    this.grow(bytes.length).set(bytes, at);
  }

  /** @param bytes of the text in UTF-8 */
  text(text: string, bytes: number): void {
    const at = this.length;
    const buffer = this.grow(bytes);
    if (bytes > SHORT_TEXT_BYTES || bytes !== text.length) buffer.write(text, at, bytes, 'utf8');
    else for (let index = 0; index < bytes; index++) buffer[at + index] = text.charCodeAt(index);
  }

  finish(): Buffer {
    return this.#bytes.subarray(0, this.length);
  }
}

/** Bytes of a text in UTF-8. */
export function utf8Bytes(text: string): number {
  if (text.length > SHORT_TEXT_BYTES) return Buffer.byteLength(text);
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) > 0x7f) return Buffer.byteLength(text);
  }
  return text.length;
}
