import type { ApiNode } from '@cache-system/contracts';
import { Inject, Injectable } from '@nestjs/common';
import { Drain } from '../platform/drain.js';
import { Layers } from '../platform/engine/layers.js';
import type { Environment } from '../platform/env.js';
import { ENVIRONMENT } from '../platform/platform.module.js';
import { VERSION } from '../platform/version.js';

/** A beat comes five times as often. */
const SILENT_AFTER_MS = 1000;

/** The API nodes, as far as this one hears of them: by the backplane, where they share a Redis. */
@Injectable()
export class ApiNodes {
  constructor(
    @Inject(ENVIRONMENT) private readonly environment: Environment,
    private readonly drain: Drain,
    private readonly layers: Layers,
  ) {}

  /** This node first. */
  list(): ApiNode[] {
    const { selfId, peers } = this.layers.backplane.state();
    const others = peers
      .filter(({ id }) => id !== selfId)
      .map(({ id, name, silentMs }): ApiNode => ({
        id,
        name,
        is_self: false,
        state: silentMs > SILENT_AFTER_MS ? 'silent' : 'serving',
        last_heard_ms: Math.round(silentMs),
        version: null,
        uptime_seconds: null,
      }));
    return [this.self(selfId), ...others];
  }

  private self(id: string | undefined): ApiNode {
    const { NODE_NAME: name } = this.environment;
    return {
      id: id ?? name,
      name,
      is_self: true,
      state: this.drain.draining ? 'draining' : 'serving',
      last_heard_ms: 0,
      version: VERSION,
      uptime_seconds: Math.round(process.uptime()),
    };
  }
}
