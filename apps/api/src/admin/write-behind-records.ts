import type { OutboxItem, OutboxState } from '@cache-system/cache-engine';
import type {
  DiscardRequest,
  ReplayRequest,
  WriteBehindFigures,
  WriteBehindQuery,
  WriteBehindRecord,
} from '@cache-system/contracts';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Principal } from '../auth/principal.js';
import { SourceDeliveries } from '../cache/source-deliveries.js';
import { type Actor, AuditLog } from '../platform/audit/audit-log.js';
import { InsufficientPermissions, InvalidRequest } from '../platform/http/api-error.js';

const PAGE = 250;

/** Where a page of records ends: in which part, and where there. */
type Position = readonly [part: string, cursor: string | null];

/** Writes on their way to their sources, and those that were given up, as administrators see them. */
@Injectable()
export class WriteBehindRecords {
  constructor(
    private readonly deliveries: SourceDeliveries,
    private readonly database: DataSource,
    private readonly audit: AuditLog,
  ) {}

  /** @throws LayerTimeout, LayerUnavailable */
  async figures(): Promise<WriteBehindFigures> {
    const { outbox, writeBehind } = this.deliveries;
    const counts = await Promise.all((await outbox.parts()).map((part) => outbox.counts(part)));
    const oldestMs = counts.reduce(
      (oldest, { oldestWaitingMs = Infinity }) => Math.min(oldest, oldestWaitingMs),
      Infinity,
    );
    const { delivered, failures, takenOver, died, replayed } = writeBehind.counts;
    return {
      depth: counts.reduce((sum, { waiting }) => sum + waiting, 0),
      oldest_age_seconds: oldestMs === Infinity ? null : Math.max(0, Date.now() - oldestMs) / 1000,
      dead_letters: counts.reduce((sum, { dead }) => sum + dead, 0),
      risk: (await outbox.risk()) ?? null,
      node: { delivered, failures, taken_over: takenOver, given_up: died, replayed },
    };
  }

  /** @throws InvalidRequest, LayerTimeout, LayerUnavailable */
  async list(
    caller: Principal,
    { state, cursor, limit }: WriteBehindQuery,
  ): Promise<{ records: WriteBehindRecord[]; cursor: string | null }> {
    const records: WriteBehindRecord[] = [];
    const parts = await this.parts();
    let position = cursor === undefined ? undefined : readPosition(cursor);
    for (;;) {
      // Whole pages: of those of others there may be many in between.
      const page = await this.page(parts, state, position, limit);
      records.push(...page.items.filter(({ key }) => mayTouch(caller, key)).map((item) => shown(item, state)));
      position = page.next;
      if (!position) return { records, cursor: null };
      if (records.length >= limit) return { records, cursor: writePosition(position) };
    }
  }

  /** @returns how many dead letters there were @throws InsufficientPermissions, LayerTimeout, LayerUnavailable */
  async replay(caller: Principal, actor: Actor, request: ReplayRequest): Promise<number> {
    const { writeBehind } = this.deliveries;
    const keys = 'all' in request ? undefined : keysOf(caller, request);
    await this.recordFirst('write_behind.replay', actor, request);
    if (keys) return countTrue(keys.map((key) => writeBehind.replay(key)));
    let replayed = 0;
    const startedAtMs = Date.now();
    const parts = await this.parts();
    let position: Position | undefined;
    do {
      const page = await this.page(parts, 'dead', position, PAGE);
      // One that has been given up again meanwhile had its chance.
      const wanted = page.items.filter(({ key, sinceMs }) => sinceMs < startedAtMs && mayTouch(caller, key));
      const count = await countTrue(wanted.map(({ key }) => writeBehind.replay(key)));
      replayed += count;
      // What was replayed is no longer in the list: the next ones have come to where it was.
      position = count > 0 && page.next ? position : page.next;
    } while (position);
    return replayed;
  }

  /** @returns how many dead letters there were @throws InsufficientPermissions, LayerTimeout, LayerUnavailable */
  async discard(caller: Principal, actor: Actor, request: DiscardRequest): Promise<number> {
    const keys = keysOf(caller, request);
    await this.recordFirst('write_behind.discard', actor, request);
    return countTrue(keys.map((key) => this.deliveries.writeBehind.discard(key)));
  }

  /** The journal is in no database that the audit log could share a transaction with: what is not recorded is not done. */
  private recordFirst(action: string, actor: Actor, request: ReplayRequest): Promise<void> {
    return this.database.transaction((transaction) =>
      this.audit.record(transaction, { action, actor, after: request }),
    );
  }

  private async parts(): Promise<readonly string[]> {
    return [...(await this.deliveries.outbox.parts())].sort();
  }

  private async page(
    parts: readonly string[],
    state: OutboxState,
    position: Position | undefined,
    limit: number,
  ): Promise<{ readonly items: readonly OutboxItem[]; readonly next: Position | undefined }> {
    const part = position ? parts.find((each) => each >= position[0]) : parts[0];
    if (part === undefined) return { items: [], next: undefined };
    const from = position?.[0] === part ? (position[1] ?? undefined) : undefined;
    const { items, cursor } = await this.deliveries.outbox.list(part, state, from, limit);
    const after = parts[parts.indexOf(part) + 1];
    if (cursor !== undefined) return { items, next: [part, cursor] };
    return { items, next: after === undefined ? undefined : [after, null] };
  }
}

/** @throws InsufficientPermissions */
function keysOf(caller: Principal, { records }: DiscardRequest): string[] {
  return records.map(({ namespace, key }) => {
    const full = `${namespace}:${key}`;
    if (!mayTouch(caller, full)) throw new InsufficientPermissions({ namespace, key });
    return full;
  });
}

function mayTouch({ namespace, keyPrefixes }: Principal, key: string): boolean {
  const at = key.indexOf(':');
  if (namespace !== null && namespace !== key.slice(0, at)) return false;
  return keyPrefixes.length === 0 || keyPrefixes.some((prefix) => key.startsWith(prefix, at + 1));
}

async function countTrue(done: readonly Promise<boolean>[]): Promise<number> {
  return (await Promise.all(done)).filter(Boolean).length;
}

function shown({ key, version, writtenAtMs, storedBytes, sinceMs, failures }: OutboxItem, state: OutboxState) {
  const at = key.indexOf(':');
  const { attempts, dueAtMs, reason } = failures;
  return {
    namespace: key.slice(0, at),
    key: key.slice(at + 1),
    state,
    since: new Date(sinceMs).toISOString(),
    written_at: new Date(writtenAtMs).toISOString(),
    version: String(version),
    stored_bytes: storedBytes,
    attempts,
    next_attempt_at: state === 'waiting' && dueAtMs > 0 ? new Date(dueAtMs).toISOString() : null,
    reason: reason === '' ? null : reason,
  };
}

function writePosition(position: Position): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url');
}

/** @throws InvalidRequest */
function readPosition(text: string): Position {
  try {
    const [part, cursor, ...rest] = JSON.parse(Buffer.from(text, 'base64url').toString()) as unknown[];
    if (typeof part === 'string' && (cursor === null || typeof cursor === 'string') && rest.length === 0) {
      return [part, cursor];
    }
  } catch {
    // Told below.
  }
  throw new InvalidRequest([{ path: 'cursor', reason: 'is not one that a page came with' }]);
}
