const API_KEY = {
  key_id: 'key_4b1c9d0e7f2a3b5c6d8e',
  key_hint: 'ck_live_7Hq2',
  name: 'Production Cache Access',
  environment: 'live',
  state: 'active',
  permissions: ['cache:read', 'cache:write', 'monitor:read'],
  namespace: 'default',
  key_prefixes: [],
  tier: 'basic',
  rate_limit: { requests_per_minute: 1000, burst_size: 100 },
  has_own_rate_limit: true,
  allowed_ips: ['203.0.113.0/24'],
  disabled: false,
  created_at: '2026-01-15T10:30:00.000Z',
  created_by: 'admin@example.com',
  expires_at: '2026-02-14T10:30:00.000Z',
  last_used_at: null,
  rotated_at: null,
  previous_valid_until: null,
  revoked_at: null,
};

/** Responses that the OpenAPI document shows. */
export const examples = {
  tokenPair: {
    access_token: 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c3JfMSJ9.bm90LWEtc2lnbmF0dXJl',
    refresh_token: 'rt_abc123def456',
    token_type: 'Bearer',
    expires_in: 900,
  },
  jwkSet: {
    keys: [
      {
        kty: 'OKP',
        crv: 'Ed25519',
        x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
        kid: 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k',
        alg: 'EdDSA',
        use: 'sig',
      },
    ],
  },
  identity: {
    type: 'user',
    id: 'usr_0c1d2e3f4a5b6c7d8e9f',
    name: 'admin@example.com',
    role: 'admin',
    permissions: ['*'],
    namespace: 'default',
    key_prefixes: [],
    tier: 'enterprise',
    cache_size: { used_bytes: 73_400_320, limit_bytes: null },
  },
  apiKey: API_KEY,
  createdApiKey: { api_key: 'ck_live_abc123def456ghi789', ...API_KEY },
  rotatedApiKey: {
    api_key: 'ck_live_xyz987uvw654rst321',
    ...API_KEY,
    key_hint: 'ck_live_xyz9',
    rotated_at: '2026-01-20T08:00:00.000Z',
    previous_valid_until: '2026-01-21T08:00:00.000Z',
  },
} as const;
