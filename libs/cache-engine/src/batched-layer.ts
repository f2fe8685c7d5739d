import type { Entry } from './entry.js';
import type { Layer } from './layer.js';
import type { Mutation, Outcome } from './mutation.js';

const MAX_BATCH_CALLS = 256;
const MAX_BATCH_BYTES = 1024 * 1024;

interface Waiting<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

interface PendingRead extends Waiting<Entry | undefined> {
  readonly key: string;
}

interface PendingMutation extends Waiting<Outcome> {
  readonly mutation: Mutation;
}

/**
 * Gathers what all requests of one turn of the event loop ask of a layer into one call to it. Under load this makes
 * one round trip of many; a lone request waits only for the end of its turn.
 */
export class BatchedLayer {
  private reads: PendingRead[] = [];
  private mutations: PendingMutation[] = [];
  private mutationBytes = 0;
  private scheduled = false;
  private readonly flushLater = () => this.flush();

  constructor(private readonly layer: Layer) {}

  get(key: string): Promise<Entry | undefined> {
    return new Promise((resolve, reject) => {
      this.reads.push({ key, resolve, reject });
      if (this.reads.length >= MAX_BATCH_CALLS) this.flushReads();
      else this.schedule();
    });
  }

  apply(mutation: Mutation): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      this.mutations.push({ mutation, resolve, reject });
      if (mutation.kind === 'put') this.mutationBytes += mutation.content.payload.length;
      if (this.mutations.length >= MAX_BATCH_CALLS || this.mutationBytes >= MAX_BATCH_BYTES) this.flushMutations();
      else this.schedule();
    });
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
    if (this.reads.length > 0) this.flushReads();
  }

  private flushReads(): void {
    const reads = this.reads;
    this.reads = [];
    settle(reads, this.layer.getMany(reads.map(({ key }) => key)));
  }

  private flushMutations(): void {
    const mutations = this.mutations;
    this.mutations = [];
    this.mutationBytes = 0;
    settle(mutations, this.layer.applyMany(mutations.map(({ mutation }) => mutation)));
  }
}

function settle<T>(waiting: readonly Waiting<T>[], answers: Promise<readonly T[]>): void {
  answers.then(
    (values) => waiting.forEach(({ resolve }, index) => resolve(values[index] as T)),
    (error: unknown) => waiting.forEach(({ reject }) => reject(error)),
  );
}
