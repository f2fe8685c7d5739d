import type { ReadTrace } from '@cache-system/cache-engine';
import type { SourceCall } from './source-call.js';

interface LeaseFacts {
  readonly state: 'free' | 'taken' | 'granted' | 'used';
  readonly endsAtMs?: number | undefined;
}

/** What one read writes down of itself, in the layers and beyond, where its caller asks for that. */
export class ReadRecord {
  /** Why the source was not asked, or not waited for. */
  sourceReason: string | undefined;
  /** Why an entry was served that is not current. */
  staleReason: string | undefined;
  call: SourceCall | undefined;
  /** The call is that of another read. */
  isShared = false;
  /** Whether what the source has said is in the cache now, if that is the answer. */
  isKept: boolean | undefined;
  private asked: LeaseFacts | undefined;

  constructor(
    readonly layers: ReadTrace,
    /** The name of the source of the key, if it has one. */
    readonly sourceName: string | undefined,
  ) {}

  joined(call: SourceCall, isShared: boolean): void {
    this.call = call;
    this.isShared = isShared;
  }

  /** The lease to fill the key, as this read was answered when it asked for it; undefined where it has not asked. */
  get lease(): LeaseFacts | undefined {
    const { lease } = this.call ?? {};
    if (lease?.status === 'leased') return { state: 'used' };
    if (lease?.status === 'taken') return { state: 'taken', endsAtMs: lease.leaseEndsMs };
    return this.asked;
  }

  noteLease(lease: LeaseFacts): void {
    this.asked = lease;
  }
}
