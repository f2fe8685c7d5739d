import type { ApiNode, NodeJob, NodeList, StorageNode, UserView } from '@cache-system/contracts';

export const LOCATION = {
  Location: { description: 'Where the job is', schema: { type: 'string' as const } },
};

export function jobLocation({ id }: NodeJob): string {
  return `/v1/admin/nodes/jobs/${id}`;
}

const MASTER = '07c37dfeb235213a872192d90877d0cd55635b91';
const REPLICA = '67ed2db8d677e59ec4a4cefb06858cf2a1a89fa1';
const NEW = '292f8b365bb7edb5e285caf0b7e6ddc7265d2f4f';

const apiNode: ApiNode = {
  id: 'cache-1',
  name: 'cache-1',
  is_self: true,
  state: 'serving',
  last_heard_ms: 0,
  version: '0.1.0',
  uptime_seconds: 86_400,
};

const storageNode: StorageNode = {
  id: MASTER,
  type: 'redis_cluster',
  address: '10.0.0.5:6379',
  hostname: null,
  role: 'master',
  master_id: null,
  replicas: [REPLICA],
  health: 'healthy',
  problems: [],
  slots: { count: 5461, ranges: [{ from: 0, to: 5460 }], moving: 0 },
  keys: 120_345,
  memory: { used_bytes: 268_435_456, max_bytes: 1_073_741_824 },
  replication: null,
  version: '7.0.15',
  uptime_seconds: 604_800,
  connected_clients: 14,
  operations_per_second: 3120,
};

const nodeList: NodeList = {
  api_nodes: [apiNode],
  storage_nodes: [storageNode],
  cluster: {
    state: 'ok',
    slots_assigned: 16_384,
    slots_ok: 16_384,
    slots_moving: 0,
    masters: 3,
    replicas: 3,
    wanted_masters: 3,
    wanted_copies: 2,
    warnings: [],
  },
};

const job: NodeJob = {
  id: 'job_4b1c9d0e7f2a3b5c6d8e',
  kind: 'add',
  node: { id: NEW, address: '10.0.0.11:6379', role: 'master', master_id: null },
  state: 'running',
  steps: [
    { name: 'meet', state: 'completed' },
    { name: 'move_slots', state: 'running' },
    { name: 'settle', state: 'pending' },
  ],
  slots_total: 4096,
  slots_moved: 1024,
  keys_moved: 30_086,
  bytes_moved: 67_108_864,
  warnings: ['3 replicas for 4 masters, and cache.layers.l3.replication_factor of 2 wants 4'],
  error: null,
  runs_on: 'cache-1',
  resumed: 0,
  created_by: 'admin@example.com',
  created_at: '2026-01-15T10:30:00.000Z',
  started_at: '2026-01-15T10:30:00.050Z',
  updated_at: '2026-01-15T10:30:04.300Z',
  finished_at: null,
};

const removal: NodeJob = {
  ...job,
  kind: 'remove',
  state: 'pending',
  steps: (['move_slots', 'move_replicas', 'forget', 'reset', 'settle'] as const).map((name) => ({
    name,
    state: 'pending',
  })),
  slots_total: 0,
  slots_moved: 0,
  keys_moved: 0,
  bytes_moved: 0,
  warnings: [],
  runs_on: null,
  started_at: null,
};

const user: UserView = {
  id: 'usr_0c1d2e3f4a5b6c7d8e9f',
  email: 'ada@example.com',
  role: 'operator',
  disabled: false,
  created_at: '2026-01-15T10:30:00.000Z',
  last_login_at: null,
};

/** Responses that the OpenAPI document shows. */
const deadLetter = {
  namespace: 'default',
  key: 'book:42',
  state: 'dead',
  since: '2026-01-15T10:30:00.000Z',
  written_at: '2026-01-15T10:15:00.000Z',
  version: '1768472100000000',
  stored_bytes: 48,
  attempts: 20,
  next_attempt_at: null,
  reason: 'the source books: PUT answered 422',
};

export const examples = {
  writeBehind: {
    depth: 12,
    oldest_age_seconds: 3.2,
    dead_letters: 1,
    risk: null,
    node: { delivered: 120_345, failures: 20, taken_over: 3, given_up: 1, replayed: 0 },
  },
  writeBehindRecords: { records: [deadLetter], cursor: null },
  replayed: { replayed: 1 },
  discarded: { discarded: 1 },
  user,
  userWithPassword: { ...user, password: 'q0Zs5mJ1mCq7vWf2nXk9yLaT' },
  userList: { users: [user], cursor: null },
  nodeList,
  storageNode,
  job,
  removal,
  progressEvent: `id: running-1768473004300\nevent: progress\ndata: ${JSON.stringify(job)}\n\n`,
};
