import { type DynamicModule, Module } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { AuditHeadLog } from './audit/audit-head-log.js';
import { AuditLog } from './audit/audit-log.js';
import { Drain } from './drain.js';
import type { Environment } from './env.js';
import { Cors } from './http/cors.js';
import { Overload } from './http/overload.js';
import { LiveConfig } from './live-config.js';
import type { Database } from './postgres/database.js';
import { Secrets } from './secrets.js';
import { Traffic } from './traffic.js';

export const ENVIRONMENT = Symbol('environment');
export const DATABASE = Symbol('database');

/** What exists before Nest does, because it decides whether there is anything to start. */
export interface Foundations {
  readonly environment: Environment;
  readonly config: LiveConfig;
  readonly secrets: Secrets;
  readonly database: Database;
  readonly traffic: Traffic;
}

@Module({})
export class PlatformModule {
  static of({ environment, config, secrets, database, traffic }: Foundations): DynamicModule {
    const providers = [
      { provide: ENVIRONMENT, useValue: environment },
      { provide: LiveConfig, useValue: config },
      { provide: Secrets, useValue: secrets },
      { provide: DATABASE, useValue: database },
      { provide: DataSource, useValue: database.source },
      { provide: Traffic, useValue: traffic },
      AuditHeadLog,
      AuditLog,
      Cors,
      Drain,
      Overload,
    ];
    return { module: PlatformModule, global: true, providers, exports: providers };
  }
}
