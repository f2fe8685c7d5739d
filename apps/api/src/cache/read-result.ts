import type { Place } from '@cache-system/contracts';
import type { ReadRecord } from './read-record.js';

// Why a read was answered as it was, in a sentence each, from what it has written down.

const SAID = {
  hit: 'has the entry',
  miss: 'has none',
  stale: 'has a stale one',
  fenced: 'has one that is not used',
  skipped: 'was not asked',
  failed: 'failed',
} as const;

export function hitResult(record: ReadRecord, place: Place): string {
  const others = record.layers.steps.filter(({ outcome }) => outcome !== 'hit');
  if (others.length === record.layers.steps.length) return `${misses(record)}; somebody has filled the key meanwhile`;
  const rest = others.map((step) => `; ${saying(step)}`).join('');
  return `${place} has the entry, which is current${rest}`;
}

export function staleResult(record: ReadRecord): string {
  const last = record.layers.steps.at(-1);
  const said = last ? saying(last) : 'the entry is stale';
  return record.staleReason === undefined ? said : `${said}; it is served nevertheless: ${record.staleReason}`;
}

export function sourceResult(record: ReadRecord): string {
  const { call, isShared, isKept, sourceName } = record;
  const shared = isShared ? ', in a call that another read had begun' : '';
  const said =
    call?.outcome === 'found'
      ? `the source ${sourceName} has given it${shared}`
      : call?.outcome === 'unchanged'
        ? `the source ${sourceName} says that the stale one is still so${shared}`
        : call?.outcome === 'not_asked' && call.reason !== undefined
          ? `the source ${sourceName} was not asked${because(call.reason)}`
          : `somebody else has asked the source ${sourceName}, and this read has waited for what they stored`;
  return `${misses(record)}; ${said}${isKept ? '' : '; it is not kept'}`;
}

export function missResult(record: ReadRecord): string {
  const { sourceName, sourceReason, call } = record;
  const said =
    sourceName === undefined
      ? 'the key has no source'
      : call?.outcome === 'missing'
        ? `the source ${sourceName} has no such key`
        : `the source ${sourceName} was not asked${because(sourceReason)}`;
  return `${misses(record)}; ${said}`;
}

export function failureResult(record: ReadRecord): string {
  const { sourceName, call } = record;
  if (sourceName === undefined) return `${misses(record)}; the key has no source to answer instead`;
  if (!call) return `${misses(record)}; the source ${sourceName} was not asked${because(record.sourceReason)}`;
  return `${misses(record)}; the source ${sourceName} has failed${because(call.reason)}`;
}

/** Why the layers have not given the entry. */
function misses({ layers: { steps } }: ReadRecord): string {
  const telling = steps.filter(({ outcome }) => outcome !== 'miss');
  return telling.length === 0 ? 'no layer has the entry' : steps.map(saying).join('; ');
}

function saying({ layer, outcome, reason }: ReadRecord['layers']['steps'][number]): string {
  return `${layer} ${SAID[outcome]}${because(reason)}`;
}

function because(reason: string | undefined): string {
  return reason === undefined ? '' : `: ${reason}`;
}
