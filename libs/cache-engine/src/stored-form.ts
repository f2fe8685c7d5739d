import type { Attributes } from './attributes.js';
import type { Entry, Format, Value } from './entry.js';
import { compress, decompress, type EntryAlgorithm } from './payload/compression.js';
import { keyIdOf, open, seal } from './payload/encryption.js';
import { TamperedPayload, UnknownEncryptionKey } from './payload/errors.js';
import type { KeyRing } from './payload/key-ring.js';

export interface StorageSettings {
  readonly compression: {
    readonly enabled: boolean;
    readonly algorithm: EntryAlgorithm;
    readonly min_size_bytes: number;
  };
  readonly encryption: {
    /** Keys that begin with one of these are encrypted, whatever their writer says. Without the namespace. */
    readonly prefixes: readonly string[];
  };
}

/** What the writer of an entry asks for. */
export interface StorageWish {
  /** true: with the configured algorithm, also below the configured size; left out, as configured. */
  readonly compress?: boolean | EntryAlgorithm | undefined;
  readonly encrypt?: boolean | undefined;
}

/** A value as the shared layers have it. */
interface Stored {
  readonly value: Value;
  readonly attributes: Pick<Attributes, 'compression' | 'rawBytes' | 'encrypted'>;
}

/** A value is to be encrypted, and there is no key to do it with. */
export class NoEncryptionKey extends Error {
  constructor() {
    super('ENCRYPTION_KEYS is not set');
  }
}

/** Why a value cannot be read: it is sealed and there are no keys, or not that one; it is not what was sealed; it does not inflate. */
export type UnreadableReason = 'no_keys' | 'unknown_key' | 'tampered' | 'damaged';

/** A stored value cannot be turned back into what was written. */
export class EntryUnreadable extends Error {}

/**
 * Values as callers know them, and as they are kept in the shared layers: compressed and encrypted. L1 keeps them as
 * callers know them.
 */
export class StoredForm {
  /** How often values could not be read. */
  readonly unreadable: Record<UnreadableReason, number> = { no_keys: 0, unknown_key: 0, tampered: 0, damaged: 0 };

  constructor(
    private settings: StorageSettings,
    private readonly keys?: KeyRing,
  ) {}

  configure(settings: StorageSettings): void {
    this.settings = settings;
  }

  /** Whether a key is encrypted whatever its writer says. */
  mustEncrypt(key: string): boolean {
    const { prefixes } = this.settings.encryption;
    if (prefixes.length === 0) return false;
    const name = key.slice(key.indexOf(':') + 1);
    return prefixes.some((prefix) => name.startsWith(prefix));
  }

  /** Whether an entry of a shared layer is sealed, and not with the current key. */
  isSealedWithOldKey({ attributes, payload }: Entry): boolean {
    if (!attributes?.encrypted || !this.keys) return false;
    try {
      return keyIdOf(payload) !== this.keys.current.id;
    } catch {
      // What is no sealed value cannot be read either.
      return false;
    }
  }

  /** @throws NoEncryptionKey */
  async toStored(key: string, value: Value, wish: StorageWish): Promise<Stored> {
    const encrypted = wish.encrypt === true || this.mustEncrypt(key);
    if (encrypted && !this.keys) throw new NoEncryptionKey();
    const algorithm = this.algorithmFor(value, wish);
    const compressed = algorithm && (await compress(value.payload, algorithm));
    if (!compressed && !encrypted) return { value, attributes: {} };
    const plain = compressed ?? value.payload;
    const payload =
      encrypted && this.keys ? seal(plain, this.keys, contextOf(key, value.format, compressed && algorithm)) : plain;
    return {
      value: { ...value, payload },
      attributes: {
        ...(compressed && { compression: algorithm }),
        rawBytes: value.payload.length,
        ...(encrypted && { encrypted }),
      },
    };
  }

  /** @throws EntryUnreadable */
  async toServed(key: string, entry: Entry): Promise<Entry> {
    const { attributes } = entry;
    if (!attributes?.encrypted && !attributes?.compression) return entry;
    try {
      let { payload } = entry;
      if (attributes.encrypted) {
        if (!this.keys) throw new NoEncryptionKey();
        payload = open(payload, this.keys, contextOf(key, entry.format, attributes.compression));
      }
      if (attributes.compression) payload = await decompress(payload, attributes.compression, attributes.rawBytes ?? 0);
      return { ...entry, payload };
    } catch (cause) {
      this.unreadable[reasonOf(cause)]++;
      throw new EntryUnreadable((cause as Error).message, { cause });
    }
  }

  private algorithmFor({ payload }: Value, { compress: wish }: StorageWish): EntryAlgorithm | undefined {
    const { enabled, algorithm, min_size_bytes: minSizeBytes } = this.settings.compression;
    if (typeof wish === 'string') return wish;
    const wanted = wish ?? (enabled && payload.length >= minSizeBytes);
    return wanted ? algorithm : undefined;
  }
}

function reasonOf(error: unknown): UnreadableReason {
  if (error instanceof NoEncryptionKey) return 'no_keys';
  if (error instanceof UnknownEncryptionKey) return 'unknown_key';
  return error instanceof TamperedPayload ? 'tampered' : 'damaged';
}

/** What sealed bytes must not be taken for: those of another key, or of another kind. No key has a control character. */
function contextOf(key: string, format: Format, compression: EntryAlgorithm | undefined): string {
  return [key, format, compression ?? ''].join('\n');
}
