import type { Entry } from './entry.js';
import type { KeyedLayer, Page, Layer } from './layer.js';
import type { Mutation, Outcome } from './mutation.js';
import type { Outbox } from './outbox.js';
import { settle, type Waiting } from './waiting.js';

const MAX_BATCH_CALLS = 256;
const MAX_BATCH_BYTES = 1024 * 1024;

interface PendingRead extends Waiting<Entry | undefined> {
  readonly key: string;
}

interface PendingMutation extends Waiting<Outcome> {
  readonly key: string;
  readonly mutation: Mutation;
}

/**
 * Gathers what all requests of one turn of the event loop ask of a layer into one call to it, or one to each of its
 * parts. Under load this makes one round trip of many; a lone request waits only for the end of its turn.
 */
export class BatchedLayer implements KeyedLayer {
  private reads: PendingRead[] = [];
  private freshReads: PendingRead[] = [];
  private mutations: PendingMutation[] = [];
  private mutationBytes = 0;
  private scheduled = false;
  private readonly flushLater = () => this.flush();

  constructor(private readonly layer: Layer) {}

  get outbox(): Outbox | undefined {
    return this.layer.outbox;
  }

  get(key: string, fresh = false): Promise<Entry | undefined> {
    return new Promise((resolve, reject) => {
      const pending = fresh ? this.freshReads : this.reads;
      pending.push({ key, resolve, reject });
      if (pending.length >= MAX_BATCH_CALLS) this.flushReads();
      else this.schedule();
    });
  }

  /** Together already, they wait for nobody else. */
  async getMany(keys: readonly string[]): Promise<readonly (Entry | undefined)[]> {
    if (!this.layer.partitionOf) return this.layer.getMany(keys);
    const entries = new Array<Entry | undefined>(keys.length).fill(undefined);
    const read = async (part: readonly { readonly key: string; readonly index: number }[]) => {
      const found = await this.layer.getMany(part.map(({ key }) => key));
      part.forEach(({ index }, at) => (entries[index] = found[at]));
    };
    await Promise.all([...this.parts(keys.map((key, index) => ({ key, index })))].map(read));
    return entries;
  }

  apply(mutation: Mutation): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      this.mutations.push({ key: mutation.key, mutation, resolve, reject });
      if (mutation.kind === 'put') this.mutationBytes += mutation.content.payload.length;
      if (this.mutations.length >= MAX_BATCH_CALLS || this.mutationBytes >= MAX_BATCH_BYTES) this.flushMutations();
      else this.schedule();
    });
  }

  scan(prefix: string, cursor: string | undefined, limit: number): Promise<Page> {
    return this.layer.scan(prefix, cursor, limit);
  }

  async usedBytes(namespace: string): Promise<number | undefined> {
    return this.layer.usedBytes?.(namespace);
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(this.flushLater);
  }

  private flush(): void {
    this.scheduled = false;
    // Mutations first: a request that wrote and then reads within a turn must find what it wrote.
    if (this.mutations.length > 0) this.flushMutations();
    if (this.reads.length > 0 || this.freshReads.length > 0) this.flushReads();
  }

  private flushReads(): void {
    const { reads, freshReads } = this;
    this.reads = [];
    this.freshReads = [];
    for (const part of this.parts(reads)) this.read(part, false);
    for (const part of this.parts(freshReads)) this.read(part, true);
  }

  /** Asks for each key once, however many of the calls are for it. */
  private read(calls: readonly PendingRead[], fresh: boolean): void {
    const byKey = new Map<string, PendingRead[]>();
    for (const call of calls) {
      const same = byKey.get(call.key);
      if (same) same.push(call);
      else byKey.set(call.key, [call]);
    }
    const shared = [...byKey.values()].map((same): Waiting<Entry | undefined> => ({
      resolve: (entry) => same.forEach(({ resolve }) => resolve(entry)),
      reject: (error) => same.forEach(({ reject }) => reject(error)),
    }));
    settle(shared, this.layer.getMany([...byKey.keys()], fresh));
  }

  private flushMutations(): void {
    const { mutations } = this;
    this.mutations = [];
    this.mutationBytes = 0;
    for (const part of this.parts(mutations)) {
      settle(part, this.layer.applyMany(part.map(({ mutation }) => mutation)));
    }
  }

  private parts<T extends { readonly key: string }>(calls: readonly T[]): Iterable<readonly T[]> {
    if (calls.length === 0) return [];
    if (!this.layer.partitionOf) return [calls];
    const parts = new Map<string, T[]>();
    for (const call of calls) {
      const name = this.layer.partitionOf(call.key);
      const part = parts.get(name);
      if (part) part.push(call);
      else parts.set(name, [call]);
    }
    return parts.values();
  }
}
