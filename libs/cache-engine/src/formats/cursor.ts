import { isUtf8 } from 'node:buffer';
import { SHORT_TEXT_BYTES } from './byte-writer.js';
import { MalformedBody } from './errors.js';
import type { BodyFormat } from './format.js';

/** A place in bytes that nobody vouches for. Nothing is read, and nothing allocated, beyond their end. */
export class Cursor {
  constructor(
    readonly format: BodyFormat,
    readonly bytes: Buffer,
    public at = 0,
    readonly end = bytes.length,
  ) {}

  get left(): number {
    return this.end - this.at;
  }

  /** Where the next so many bytes start, which are then behind. @throws MalformedBody where they are not there */
  take(count: number): number {
    const { at } = this;
    if (count > this.end - at) throw this.malformed(`${count} bytes expected, ${this.end - at} left`);
    this.at = at + count;
    return at;
  }

  byte(): number {
    return this.bytes[this.take(1)] ?? 0;
  }

  view(count: number): Buffer {
    const start = this.take(count);
    return this.bytes.subarray(start, start + count);
  }

  /** Strict UTF-8 (RFC 3629), with a byte order mark as the character it is. */
  text(count: number): string {
    const start = this.take(count);
    if (count <= SHORT_TEXT_BYTES && isAscii(this.bytes, start, this.at)) {
      return this.bytes.toString('latin1', start, this.at);
    }
    const view = this.bytes.subarray(start, this.at);
    if (!isUtf8(view)) throw this.malformed('a string is not valid UTF-8', start);
    return view.toString('utf8');
  }

  /** The next so many bytes as a place of their own; offsets stay those of the whole. */
  within(count: number): Cursor {
    const start = this.take(count);
    return new Cursor(this.format, this.bytes, start, start + count);
  }

  /** @throws MalformedBody where bytes are left */
  finish(): void {
    if (this.left > 0) throw this.malformed(`${this.left} bytes too many`);
  }

  malformed(reason: string, at = this.at): MalformedBody {
    return new MalformedBody(this.format, reason, at);
  }
}

function isAscii(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if ((bytes[at] ?? 0) > 0x7f) return false;
  return true;
}
