import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRedis } from '../../../tools/harness/redis-process.mjs';
import type { Layer } from '../src/layer.js';
import { LmdbLayer } from '../src/layers/lmdb.js';
import { MemoryLayer } from '../src/layers/memory.js';
import { RedisLayer } from '../src/layers/redis.js';

/** A layer on the real thing, and how to take it down. */
export interface OpenLayer {
  readonly layer: Layer;
  close(): Promise<void>;
}

/** Every implementation of the port; the conformance suite runs against each. */
export const LAYERS: Readonly<Record<string, () => Promise<OpenLayer>>> = {
  memory: () => {
    const layer = new MemoryLayer(64 * 1024 * 1024);
    return Promise.resolve({ layer, close: () => layer.close() });
  },
  lmdb: () => {
    const path = mkdtempSync(join(tmpdir(), 'cache-lmdb-'));
    const layer = new LmdbLayer(path);
    return Promise.resolve({
      layer,
      close: async () => {
        await layer.close();
        rmSync(path, { recursive: true, force: true });
      },
    });
  },
  redis: async () => {
    const server = await startRedis();
    const layer = new RedisLayer({ url: server.url });
    await layer.connect();
    return {
      layer,
      close: async () => {
        await layer.close();
        await server.stop();
      },
    };
  },
};
