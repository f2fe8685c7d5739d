import type { BodyFormat } from './format.js';

/** The bytes are not what their format says, or hold something that no value can be. A client's mistake. */
export class MalformedBody extends Error {
  override readonly name = 'MalformedBody';

  /** @param byteOffset where in the bytes that were given; undefined where the mistake has no single place */
  constructor(
    readonly format: BodyFormat,
    readonly reason: string,
    readonly byteOffset?: number,
    options?: ErrorOptions,
  ) {
    super(byteOffset === undefined ? `${format}: ${reason}` : `${format}: ${reason} at byte ${byteOffset}`, options);
  }
}

/** A format has no form for a value that another one can say: a NUL in the name of a BSON member. */
export class NotRepresentable extends Error {
  override readonly name = 'NotRepresentable';

  constructor(
    readonly format: BodyFormat,
    readonly reason: string,
  ) {
    super(`${format}: ${reason}`);
  }
}
