const STAMP = {
  created_at: '2026-01-15T10:15:00.000Z',
  updated_at: '2026-01-15T10:15:00.000Z',
  expires_at: '2026-01-15T11:15:00.000Z',
  version: '1768472100000042',
};
const VALUE = { id: 12345, name: 'John Doe' };
const JOB = {
  id: '8b0f5a54-6d0e-4f8b-9a39-2f6f5d0f7c11',
  status: 'running',
  pattern: 'session:*',
  scanned: 250_000,
  deleted: 120_500,
  started_at: '2026-01-15T10:15:00.000Z',
  ended_at: null,
};
const EXPLAIN = {
  result:
    'L2 has the entry, which is current; L1 has one that is not used: this node does not know the tags of its copy to be current',
  status: 'hit',
  layer: 'L2',
  duration_ms: 0.912,
  layers: [
    {
      layer: 'L1',
      outcome: 'fenced',
      reason: 'this node does not know the tags of its copy to be current',
      duration_ms: 0.007,
    },
    { layer: 'L2', outcome: 'hit', reason: null, duration_ms: 0.431 },
  ],
  looks: 1,
  fences: [{ layer: 'L1', outcome: 'kept' }],
  tags: [{ tag: 'user', stored_generation: '1768472100000017', current_generation: '1768472100000017' }],
  lease: null,
  source: null,
  backplane: { trusted: true, epoch: 0 },
};
const WRITE_METADATA = { ...STAMP, size_bytes: 30, compression_ratio: 1, replicated_to: [] };

/** Requests and responses that the OpenAPI document shows. */
export const examples = {
  write: { value: VALUE, options: { ttl: 3600, tags: ['user', 'session'] } },
  patch: { value: { last_login: '2026-01-15T10:45:00Z' }, merge_strategy: 'deep' },
  touch: { ttl: 3600 },
  increment: { by: 1, initial: 0 },
  read: {
    key: 'user:12345',
    value: VALUE,
    metadata: { ...STAMP, hit_count: 47, size_bytes: 30, cache_layer: 'L1' },
  },
  explained: { key: 'user:12345', value: VALUE, explain: EXPLAIN },
  created: { key: 'user:12345', status: 'created', metadata: WRITE_METADATA, cache_layers: ['L1', 'L2'] },
  updated: { key: 'user:12345', status: 'updated', metadata: WRITE_METADATA, cache_layers: ['L1', 'L2'] },
  list: {
    keys: [{ key: 'user:12345', ...STAMP, size_bytes: 30, tags: ['user'] }],
    cursor: 'WzAsIjE3OTIiLDBd',
  },
  deletedMany: { deleted: 42, pattern: 'session:*', duration_ms: 12 },
  deletingMany: { deleted: 120_500, pattern: 'session:*', job: JOB, duration_ms: 502 },
  job: JOB,
  events: [
    `id: 1768472100000042-1x8q0zk\nevent: set\ndata: {"key":"user:12345","version":"${STAMP.version}","at":"${STAMP.updated_at}"}\n\n`,
    `id: 1768472103000011-7d2m4c\nevent: invalidate\ndata: {"prefix":"","tag":"product","at":"2026-01-15T10:15:03.000Z"}\n\n`,
  ].join(''),
  invalidate: { keys: ['user:12345'], tags: ['product'] },
  invalidated: { invalidated: { keys: 1, tags: 1 }, duration_ms: 3 },
  bulkGet: { keys: ['user:12345', 'session:abc123'], options: { include_metadata: false, max_concurrent: 10 } },
  bulkGot: {
    results: {
      'user:12345': { status: 'hit', value: VALUE, cache_layer: 'L1' },
      'session:abc123': { status: 'miss', error: 'Key not found' },
    },
    summary: { total_keys: 2, hits: 1, misses: 1, hit_ratio: 0.5 },
  },
  bulkSet: {
    entries: [
      { key: 'user:12345', value: VALUE, ttl: 3600 },
      { key: 'user:67890', value: { id: 67890, name: 'Jane Smith' }, ttl: 7200 },
    ],
    options: { strategy: 'write-through', max_concurrent: 5 },
  },
  bulkStored: {
    results: {
      'user:12345': {
        status: 'created',
        version: STAMP.version,
        expires_at: STAMP.expires_at,
        cache_layers: ['L1', 'L2'],
      },
      'user:67890': { status: 'error', error: 'must be at most 1 MiB', code: 'PAYLOAD_TOO_LARGE' },
    },
    summary: { total_keys: 2, created: 1, updated: 0, errors: 1 },
  },
  bulkDelete: { keys: ['user:12345', 'user:67890'] },
  bulkDeleted: {
    results: {
      'user:12345': { status: 'deleted', deleted_from: ['L1', 'L2'] },
      'user:67890': { status: 'miss', error: 'Key not found' },
    },
    summary: { total_keys: 2, deleted: 1, misses: 1, errors: 0 },
  },
  touched: { key: 'user:12345', status: 'touched', metadata: STAMP },
  incremented: {
    key: 'visits',
    status: 'updated',
    value: 42,
    metadata: { ...WRITE_METADATA, size_bytes: 2 },
    cache_layers: ['L1', 'L2'],
  },
} as const;
