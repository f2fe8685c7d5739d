import { Cache } from '@cache-system/cache-engine';
import type { PostgresSourceDefinition } from '@cache-system/contracts';
import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { readVariable } from '../platform/env.js';
import { log } from '../platform/logging.js';
import { PostgresWatch } from '../sources/postgres-watch.js';
import { Sources } from '../sources/sources.js';
import { SourceReads } from './source-reads.js';
import { Sweeps } from './sweeps.js';

/** Drops what has changed in watched tables, by whomever it was. */
@Injectable()
export class SourceWatches implements OnApplicationBootstrap, OnApplicationShutdown {
  private watches: PostgresWatch[] = [];

  constructor(
    private readonly cache: Cache,
    private readonly sources: Sources,
    private readonly reads: SourceReads,
    private readonly sweeps: Sweeps,
  ) {}

  onApplicationBootstrap(): void {
    this.watches = this.sources.all.flatMap(({ definition }) =>
      definition.type === 'postgres' && definition.postgres.watch ? [this.watch(definition)] : [],
    );
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.all(this.watches.map((watch) => watch.close()));
  }

  private watch(definition: PostgresSourceDefinition): PostgresWatch {
    const { name, namespace, prefix } = definition;
    let isConnected: boolean | undefined;
    return new PostgresWatch(definition, readVariable, {
      onChanged: async (keys) => {
        await Promise.all(keys.map((key) => this.drop(`${namespace}:${key}`)));
      },
      onAllChanged: async () => {
        this.reads.distrust({ prefix: `${namespace}:${prefix}` });
        await this.sweeps.clear(`${namespace}:${prefix}`);
      },
      onState: (connected, cause) => {
        if (connected === isConnected) return;
        isConnected = connected;
        if (connected) log.info({ source: name }, 'changes of the table of a source are heard of');
        else log.warn({ source: name, err: cause }, 'changes of the table of a source are not heard of');
      },
    });
  }

  private async drop(key: string): Promise<void> {
    this.reads.distrust({ key });
    await this.cache.discard(key);
  }
}
