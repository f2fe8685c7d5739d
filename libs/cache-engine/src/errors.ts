import type { LayerName } from '@cache-system/contracts';
import type { Entry } from './entry.js';

/** A layer did not answer within its deadline. What was asked of it may still happen. */
export class LayerTimeout extends Error {
  constructor(
    readonly layer: LayerName,
    readonly deadlineMs: number,
    options?: ErrorOptions,
  ) {
    super(`${layer} did not answer within ${deadlineMs} ms`, options);
  }
}

/** A layer cannot be reached, or has failed so often that it is not asked for a while. */
export class LayerUnavailable extends Error {
  constructor(
    readonly layer: LayerName,
    options?: ErrorOptions,
  ) {
    super(`${layer} is unreachable`, options);
  }
}

/** A scan is to go on from where none of the layer has stopped. A caller's mistake. */
export class MalformedCursor extends Error {}

/** A layer has no room for an entry. */
export class StorageFull extends Error {}

/** A namespace has no room for an entry: it takes as many bytes as the caller may make it take. */
export class NamespaceFull extends StorageFull {
  constructor(
    readonly namespace: string,
    readonly limitBytes: number,
    readonly usedBytes: number,
  ) {
    super(`${namespace} takes ${usedBytes} of ${limitBytes} bytes`);
  }
}

/** The entry is not there. */
export class KeyNotFound extends Error {
  constructor(
    readonly searchedLayers: readonly LayerName[],
    /** Layers that could not be asked; deeper ones answered for them. */
    readonly unavailableLayers: readonly LayerName[] = [],
    /** What there was until it ended to be current. */
    readonly stale?: Entry,
  ) {
    super('no such key');
  }
}

/** The source of a key says that it has no such key, and nothing has happened to that while it was asked. */
export class MissingAtSource extends KeyNotFound {}

/** Whoever asks the source of a key did not come to an end in time. */
export class LoadTimeout extends Error {
  constructor(readonly limitMs: number) {
    super(`nobody has filled the key within ${limitMs} ms`);
  }
}

/** A write is stored, but not on as many replicas as was asked for. */
export class ReplicationIncomplete extends Error {
  constructor(
    readonly layer: LayerName,
    readonly version: number,
    readonly confirmedBy: readonly string[],
    readonly wanted: number,
  ) {
    super(`${confirmedBy.length} of ${wanted} replicas have confirmed the write in time`);
  }
}

/** A condition that came with the call does not hold. */
export class ConditionFailed extends Error {}

/** The entry kept changing while it was being changed. */
export class TooMuchContention extends Error {
  constructor(readonly limitMs: number) {
    super(`gave up after ${limitMs} ms: the entry changed at each attempt`);
  }
}
