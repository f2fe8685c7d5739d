const STAMP = {
  created_at: '2026-01-15T10:15:00.000Z',
  updated_at: '2026-01-15T10:15:00.000Z',
  expires_at: '2026-01-15T11:15:00.000Z',
  version: '1768472100000042',
};
const VALUE = { id: 12345, name: 'John Doe' };
const WRITE_METADATA = { ...STAMP, size_bytes: 30, compression_ratio: 1, replicated_to: [] };

/** Requests and responses that the OpenAPI document shows. */
export const examples = {
  write: { value: VALUE, options: { ttl: 3600 } },
  patch: { value: { last_login: '2026-01-15T10:45:00Z' }, merge_strategy: 'deep' },
  touch: { ttl: 3600 },
  increment: { by: 1, initial: 0 },
  read: {
    key: 'user:12345',
    value: VALUE,
    metadata: { ...STAMP, hit_count: 47, size_bytes: 30, cache_layer: 'L1' },
  },
  created: { key: 'user:12345', status: 'created', metadata: WRITE_METADATA, cache_layers: ['L1', 'L2'] },
  updated: { key: 'user:12345', status: 'updated', metadata: WRITE_METADATA, cache_layers: ['L1', 'L2'] },
  touched: { key: 'user:12345', status: 'touched', metadata: STAMP },
  incremented: {
    key: 'visits',
    status: 'updated',
    value: 42,
    metadata: { ...WRITE_METADATA, size_bytes: 2 },
    cache_layers: ['L1', 'L2'],
  },
} as const;
