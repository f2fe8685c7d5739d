import { ClusterJob } from '../admin/cluster-job.entity.js';
import { ApiKeyRecord } from '../auth/api-key.entity.js';
import { RefreshToken, Session } from '../auth/session.entity.js';
import { User } from '../auth/user.entity.js';
import { LiveConfig } from '../platform/live-config.js';
import type { Foundations } from '../platform/platform.module.js';
import { openDatabase } from '../platform/postgres/database.js';
import { readSecrets } from '../platform/secrets.js';
import { Traffic } from '../platform/traffic.js';
import type { Settings } from './settings.js';

/** @throws StartRefused when the process cannot run with these settings */
export async function layFoundations({ environment, config }: Settings): Promise<Foundations> {
  const secrets = readSecrets(environment);
  const database = await openDatabase(environment, [ApiKeyRecord, ClusterJob, RefreshToken, Session, User]);
  return { environment, config: new LiveConfig(config), secrets, database, traffic: new Traffic() };
}
