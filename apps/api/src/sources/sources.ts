import type { SourceDefinition } from '@cache-system/contracts';
import { bulkhead, type BulkheadPolicy } from 'cockatiel';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { readVariable, StartRefused } from '../platform/env.js';
import { LiveConfig } from '../platform/live-config.js';
import { openHttpSource } from './http-source.js';
import { ConnectionNotSet } from './postgres-connection.js';
import { openPostgresSource } from './postgres-source.js';
import type { Source } from './source.js';

export interface OpenSource {
  readonly definition: SourceDefinition;
  readonly source: Source;
  /** At most so many at a time. */
  readonly connections: number;
  /** For so many keys at a time as there are connections: one that waits for its turn has not begun to take time. */
  readonly limit: BulkheadPolicy;
}

/** The sources of `cache.sources`, opened. None of them is connected to before it is asked. */
@Injectable()
export class Sources implements OnApplicationShutdown {
  /** Of each namespace, the longest prefix first. */
  private readonly byNamespace = new Map<string, OpenSource[]>();

  /** @throws StartRefused where a connection is not set */
  constructor(@Inject(LiveConfig) { current }: LiveConfig) {
    const { definitions, allowed_hosts: allowedHosts } = current.cache.sources;
    for (const definition of definitions) {
      const connections = connectionsOf(definition);
      const limit = bulkhead(connections, Infinity);
      const opened = { definition, source: open(definition, allowedHosts), connections, limit };
      const others = this.byNamespace.get(definition.namespace) ?? [];
      const sorted = [...others, opened].sort((a, b) => b.definition.prefix.length - a.definition.prefix.length);
      this.byNamespace.set(definition.namespace, sorted);
    }
  }

  get all(): readonly OpenSource[] {
    return [...this.byNamespace.values()].flat();
  }

  /** The source of a key, by the longest prefix that fits. */
  find(namespace: string, name: string): OpenSource | undefined {
    if (this.byNamespace.size === 0) return undefined;
    return this.byNamespace.get(namespace)?.find(({ definition }) => name.startsWith(definition.prefix));
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.all(this.all.map(({ source }) => source.close()));
  }
}

function connectionsOf(definition: SourceDefinition): number {
  return definition.type === 'http' ? definition.http.max_connections : definition.postgres.max_connections;
}

function open(definition: SourceDefinition, allowedHosts: readonly string[]): Source {
  if (definition.type === 'http') return openHttpSource(definition, { allowedHosts });
  try {
    return openPostgresSource(definition, readVariable);
  } catch (error) {
    if (error instanceof ConnectionNotSet) throw new StartRefused([`cache.sources: ${error.message}`]);
    throw error;
  }
}
