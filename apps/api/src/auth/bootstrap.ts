import { randomBytes } from 'node:crypto';
import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { AuditLog } from '../platform/audit/audit-log.js';
import { type Environment, StartRefused } from '../platform/env.js';
import { ENVIRONMENT } from '../platform/platform.module.js';
import { isMistyped, mintApiKey } from './api-key-format.js';
import { ApiKeysService, BOOTSTRAP } from './api-keys.service.js';
import { hashPassword, makePassword } from './passwords.js';
import { User } from './user.entity.js';

/** What the first start has made, for the operator to see once. Undefined: it was there already. */
export interface FirstStart {
  readonly adminPassword?: string;
  readonly apiKey?: string;
}

/** Makes the first user and the first API key where there are none. */
@Injectable()
export class Bootstrap implements OnApplicationBootstrap {
  firstStart: FirstStart = {};

  constructor(
    private readonly database: DataSource,
    private readonly apiKeys: ApiKeysService,
    private readonly audit: AuditLog,
    @Inject(ENVIRONMENT) private readonly environment: Environment,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    this.firstStart = { ...(await this.ensureAdmin()), ...(await this.ensureApiKey()) };
  }

  private async ensureAdmin(): Promise<FirstStart> {
    if ((await this.database.getRepository(User).count()) > 0) return {};
    const password = this.environment.ADMIN_PASSWORD ?? makePassword();
    const user = {
      id: `usr_${randomBytes(10).toString('hex')}`,
      email: this.environment.ADMIN_EMAIL.toLowerCase(),
      passwordHash: await hashPassword(password),
      role: 'admin' as const,
    };
    const isMade = await this.database.transaction(async (transaction) => {
      // Another node may be at the same first start.
      const insertion = transaction.createQueryBuilder().insert().into(User).values(user).orIgnore();
      const made = await insertion.returning('id').execute();
      if ((made.raw as unknown[]).length === 0) return false;
      const { id, email, role } = user;
      const target = { type: 'user', id };
      await this.audit.record(transaction, {
        action: 'user.create',
        actor: BOOTSTRAP,
        target,
        after: { id, email, role },
      });
      return true;
    });
    return isMade ? { adminPassword: password } : {};
  }

  private async ensureApiKey(): Promise<FirstStart> {
    const given = this.environment.BOOTSTRAP_API_KEY;
    if (given !== undefined && isMistyped(given)) {
      throw new StartRefused([
        'BOOTSTRAP_API_KEY: starts like a key of ours but its checksum is wrong: leave it out to have one made',
      ]);
    }
    if (given === undefined && (await this.apiKeys.count()) > 0) return {};
    const key = given ?? mintApiKey();
    const made = await this.apiKeys.ensure(key, 'bootstrap');
    return made ? { apiKey: key } : {};
  }
}
