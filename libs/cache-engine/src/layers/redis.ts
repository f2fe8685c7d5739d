import { createHash } from 'node:crypto';
import { createClient, RESP_TYPES } from 'redis';
import { decodeEntry, encodePreamble, type Entry } from '../entry.js';
import { StorageFull } from '../errors.js';
import type { KeyPage, Layer } from '../layer.js';
import type { Condition, Mutation, Outcome } from '../mutation.js';
import { APPLY_SCRIPT } from './redis-script.js';

/**
 * Before every key of ours. The empty braces keep a key's own braces from acting as a hash tag, so that nobody can
 * force many keys into one slot of a cluster.
 */
const PREFIX = 'cache{}:';
const REVISION_KEY = 'cache-revision';
const SCRIPT_SHA = createHash('sha1').update(APPLY_SCRIPT).digest('hex');
const KINDS = { put: 'p', remove: 'r', touch: 't' } as const;
const STATUSES = ['created', 'updated', 'touched', 'removed', 'refused', 'missing'] as const;
const NO_BYTES = Buffer.alloc(0);
const CLOCK_INTERVAL_MS = 10_000;
const MAX_RECONNECT_DELAY_MS = 2000;
/** Differences below this are the noise of the measurement and would only make expiry times flicker. */
const CLOCK_NOISE_MS = 100;

export interface RedisLayerOptions {
  readonly url: string;
  /** Told once per change that the connection is lost (with the reason) or back. */
  readonly onConnection?: (connected: boolean, reason?: Error) => void;
}

/** Entries in a Redis server that all nodes share. Commands fail at once while there is no connection. */
export class RedisLayer implements Layer {
  private readonly client;
  private connected = false;
  /** Milliseconds that the clock of the server is ahead of ours. */
  private clockAheadMs = 0;
  private clockTimer: NodeJS.Timeout | undefined;

  constructor(options: RedisLayerOptions) {
    const report = (connected: boolean, reason?: Error) => {
      if (connected === this.connected) return;
      this.connected = connected;
      options.onConnection?.(connected, reason);
    };
    this.client = createClient({
      url: options.url,
      disableOfflineQueue: true,
      pingInterval: 2000,
      socket: {
        connectTimeout: 2000,
        // A server that is frozen answers no ping either: the connection is given up and made anew.
        socketTimeout: 10_000,
        reconnectStrategy: (retries) => Math.random() * Math.min(50 * 2 ** retries, MAX_RECONNECT_DELAY_MS),
      },
      commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } },
    });
    this.client.on('error', (error: Error) => report(false, error));
    this.client.on('ready', () => {
      report(true);
      void this.readClock().catch(() => undefined);
    });
  }

  /** Resolves when connected; rejects when the first attempt fails. */
  async connect(): Promise<void> {
    const failed = new Promise<never>((_, reject) => this.client.once('error', reject));
    const connecting = this.client.connect();
    connecting.catch(() => undefined);
    await Promise.race([connecting, failed]);
    this.clockTimer = setInterval(() => void this.readClock().catch(() => undefined), CLOCK_INTERVAL_MS).unref();
  }

  async getMany(keys: readonly string[]): Promise<readonly (Entry | undefined)[]> {
    const values = await this.client.mGet(keys.map((key) => PREFIX + key));
    return values.map((bytes) => {
      const entry = bytes === null ? undefined : decodeEntry(bytes);
      return entry && { ...entry, expiresAtMs: this.toOwnClock(entry.expiresAtMs) };
    });
  }

  async applyMany(mutations: readonly Mutation[]): Promise<readonly Outcome[]> {
    const args: (string | Buffer)[] = [String(mutations.length + 1), REVISION_KEY];
    for (const { key } of mutations) args.push(PREFIX + key);
    for (const mutation of mutations) {
      const content = mutation.kind === 'put' ? mutation.content : undefined;
      args.push(
        KINDS[mutation.kind],
        conditionArgument(mutation.condition),
        mutation.kind === 'remove' ? '0' : String(mutation.ttlMs),
        content ? encodePreamble(content) : NO_BYTES,
        content?.payload ?? NO_BYTES,
      );
    }
    const sentAtMs = Date.now();
    const reply = await this.runScript(args);
    this.noteClock(reply[0] ?? sentAtMs, sentAtMs);
    return mutations.map((_, index) => this.readOutcome(reply, 1 + index * 6));
  }

  async scan(prefix: string, cursor: string | undefined, limit: number): Promise<KeyPage> {
    const MATCH = `${escapeGlob(PREFIX + prefix)}*`;
    const page = await this.client.scan(cursor ?? '0', { MATCH, COUNT: limit });
    const next = page.cursor.toString();
    return {
      keys: page.keys.map((key) => key.toString().slice(PREFIX.length)),
      cursor: next === '0' ? undefined : next,
    };
  }

  async check(): Promise<void> {
    await this.client.ping();
  }

  close(): Promise<void> {
    clearInterval(this.clockTimer);
    this.client.destroy();
    return Promise.resolve();
  }

  private async runScript(args: (string | Buffer)[]): Promise<number[]> {
    try {
      return (await this.client.sendCommand(['EVALSHA', SCRIPT_SHA, ...args])) as unknown as number[];
    } catch (error) {
      const { message } = error as Error;
      if (message.startsWith('NOSCRIPT')) {
        return (await this.client.sendCommand(['EVAL', APPLY_SCRIPT, ...args])) as unknown as number[];
      }
      if (message.includes('OOM command not allowed')) {
        throw new StorageFull('Redis has reached its maxmemory', { cause: error });
      }
      throw error;
    }
  }

  private readOutcome(reply: readonly number[], at: number): Outcome {
    const [code = 4, revision = 0, version = 0, createdAtMs = 0, updatedAtMs = 0, expiresAtMs = 0] = reply.slice(
      at,
      at + 6,
    );
    const status = STATUSES[code] ?? 'refused';
    if (status === 'removed' || status === 'refused' || status === 'missing') return { status, revision };
    return {
      status,
      revision,
      stamp: { version, revision, createdAtMs, updatedAtMs, expiresAtMs: this.toOwnClock(expiresAtMs) },
    };
  }

  private async readClock(): Promise<void> {
    const sentAtMs = Date.now();
    const reply = (await this.client.sendCommand(['TIME'])) as unknown as [Buffer, Buffer];
    this.noteClock(Number(reply[0].toString()) * 1000 + Number(reply[1].toString()) / 1000, sentAtMs);
  }

  private noteClock(serverMs: number, sentAtMs: number): void {
    const aheadMs = Math.round(serverMs - (sentAtMs + Date.now()) / 2);
    if (Math.abs(aheadMs - this.clockAheadMs) > CLOCK_NOISE_MS) this.clockAheadMs = aheadMs;
  }

  private toOwnClock(expiresAtMs: number): number {
    return expiresAtMs === 0 ? 0 : expiresAtMs - this.clockAheadMs;
  }
}

/** Terms joined by `;`: `e` exists, `a` absent, `i1,2` version in, `n1,2` version not in. */
function conditionArgument(condition: Condition | undefined): string {
  if (!condition) return '';
  const terms: string[] = [];
  if (condition.exists !== undefined) terms.push(condition.exists ? 'e' : 'a');
  if (condition.versionIn) terms.push(`i${condition.versionIn.join(',')}`);
  if (condition.versionNotIn) terms.push(`n${condition.versionNotIn.join(',')}`);
  return terms.join(';');
}

function escapeGlob(text: string): string {
  return text.replace(/[\\*?[\]]/g, '\\$&');
}
