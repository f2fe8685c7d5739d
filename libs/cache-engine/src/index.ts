export { Announcer } from './backplane/announcer.js';
export type { Backplane, Peer } from './backplane/backplane.js';
export { JournalBackplane } from './backplane/journal-backplane.js';
export { RedisBackplane } from './backplane/redis-backplane.js';
export { BatchedLayer } from './batched-layer.js';
export { Cache } from './cache.js';
export type { CacheSettings, Change, Found, ReadCounts, WriteOptions, Written } from './cache-operations.js';
export { type CacheEvent, ChangeFeed, type FeedReader } from './change-feed.js';
export { ClusterAdmin } from './cluster/cluster-admin.js';
export {
  type Addition,
  type ClusterChange,
  type ClusterStep,
  type Removal,
  stepsOf,
} from './cluster/cluster-change.js';
export { ClusterChangeRefused, ClusterChangeStalled, NodeUnreachable, type RefusalReason } from './cluster/errors.js';
export type { NodeFacts } from './cluster/node-facts.js';
export { isHealthy, type Member, slotRanges, slotsByMaster, type Topology } from './cluster/topology.js';
export { CopyTier } from './copy-tier.js';
export {
  currentUntilMs,
  type Entry,
  type Format,
  type Head,
  jsonText,
  jsonValue,
  type Stamp,
  type Told,
  type Value,
} from './entry.js';
export * from './errors.js';
export { Exclusive, type Turn } from './exclusive.js';
export { CACHE_PROTO } from './formats/cache-proto.js';
export { readDocument, writeDocument } from './formats/documents.js';
export { convertValue } from './formats/encode.js';
export { MalformedBody, NotRepresentable } from './formats/errors.js';
export {
  BODY_MEDIA_TYPES,
  type BodyFormat,
  formatOfMediaType,
  MEDIA_TYPES,
  negotiateFormat,
} from './formats/format.js';
export { decodeValue, Encoded } from './formats/values.js';
export { type Glob, MalformedGlob, parseGlob } from './glob.js';
export { Guard } from './guard.js';
export { GuardedCopies, GuardedLayer } from './guarded-layer.js';
export type { Layer } from './layer.js';
export { LmdbLayer } from './layers/lmdb.js';
export { MemoryLayer, type Slot } from './layers/memory.js';
export { RedisClusterLayer } from './layers/redis-cluster.js';
export { RedisLayer } from './layers/redis.js';
export { type Condition, holds, plainInteger } from './mutation.js';
export type { Outbox, OutboxItem, OutboxRecord, OutboxState } from './outbox.js';
export { inflateRequestBody, REQUEST_ENCODINGS, type RequestEncoding } from './payload/compression.js';
export { DamagedPayload, InflatesTooLarge, MalformedKeyRing } from './payload/errors.js';
export { type KeyRing, parseKeyRing } from './payload/key-ring.js';
export { type Fetch, type Loaded, type LoadedEntry, ReadThrough, refreshKey, unkept } from './read-through.js';
export type { ReadTrace } from './read-trace.js';
export { RecentChanges } from './recent-changes.js';
export {
  formatAddress,
  InvalidAddress,
  parseClusterNodes,
  parseRedisAddress,
  parseRedisUrl,
  type RedisAccess,
  type RedisAddress,
  type RedisLogin,
  type RedisTls,
} from './redis/address.js';
export { RedisCluster } from './redis/cluster.js';
export { type RedisScript, redisScript } from './redis/script.js';
export { RedisServer } from './redis/server.js';
export { EntryUnreadable, NoEncryptionKey } from './stored-form.js';
export { SharedTiers } from './shared-tiers.js';
export { addNumbers, isNumber } from './json/arithmetic.js';
export * from './json/errors.js';
export { applyJsonPatch, parseJsonPatch } from './json/json-patch.js';
export { deepMerge, mergePatch, shallowMerge } from './json/merge.js';
export { MAX_DEPTH, memberTexts, nestingDepth } from './json/scan.js';
export { type Delivery, NotAsked, WriteBehind } from './write-behind.js';
