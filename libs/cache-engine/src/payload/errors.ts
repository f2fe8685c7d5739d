/** Compressed bytes are not what `compress`, or the sender of a request, has made: cut short, altered or something else. */
export class DamagedPayload extends Error {
  override readonly name = 'DamagedPayload';

  constructor(options?: ErrorOptions) {
    super('the compressed bytes are damaged', options);
  }
}

/** Compressed bytes inflate to more than is allowed. Nothing beyond the limit was produced. */
export class InflatesTooLarge extends Error {
  override readonly name = 'InflatesTooLarge';

  constructor(
    readonly limitBytes: number,
    options?: ErrorOptions,
  ) {
    super(`inflates to more than ${limitBytes} bytes`, options);
  }
}

/** A text is not a list of encryption keys. The message never has key material in it. */
export class MalformedKeyRing extends Error {
  override readonly name = 'MalformedKeyRing';

  constructor(readonly reason: string) {
    super(reason);
  }
}

/** Bytes were sealed with a key that the key ring does not have, or has no more. */
export class UnknownEncryptionKey extends Error {
  override readonly name = 'UnknownEncryptionKey';

  constructor(readonly keyId: string) {
    super(`no encryption key has the id ${JSON.stringify(keyId)}`);
  }
}

/** Bytes were not sealed with the key they name, not for this context, or have changed since. */
export class TamperedPayload extends Error {
  override readonly name = 'TamperedPayload';

  constructor(options?: ErrorOptions) {
    super('the sealed bytes are not authentic', options);
  }
}
