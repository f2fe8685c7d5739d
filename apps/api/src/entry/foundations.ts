import { ClusterJob } from '../admin/cluster-job.entity.js';
import { ApiKeyRecord, RetiredApiKey } from '../auth/api-key.entity.js';
import { RefreshToken, Session } from '../auth/session.entity.js';
import { User } from '../auth/user.entity.js';
import { StartRefused } from '../platform/env.js';
import { LiveConfig } from '../platform/live-config.js';
import type { Foundations } from '../platform/platform.module.js';
import { openDatabase } from '../platform/postgres/database.js';
import { readSecrets } from '../platform/secrets.js';
import { Traffic } from '../platform/traffic.js';
import type { Settings } from './settings.js';

/** @throws StartRefused when the process cannot run with these settings */
export async function layFoundations({ environment, config }: Settings): Promise<Foundations> {
  const secrets = readSecrets(environment);
  if (!secrets.encryptionKeys && config.cache.encryption.prefixes.length > 0) {
    throw new StartRefused([
      'ENCRYPTION_KEYS: is needed for cache.encryption.prefixes. Make one with: echo "k1:$(openssl rand -base64 32)"',
    ]);
  }
  const database = await openDatabase(environment, [
    ApiKeyRecord,
    ClusterJob,
    RefreshToken,
    RetiredApiKey,
    Session,
    User,
  ]);
  return { environment, config: new LiveConfig(config), secrets, database, traffic: new Traffic() };
}
