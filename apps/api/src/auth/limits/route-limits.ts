import type { Config } from '@cache-system/contracts';
import { Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { RouteTable } from '../../platform/http/route-table.js';
import { LiveConfig } from '../../platform/live-config.js';
import { log } from '../../platform/logging.js';

type RouteLimits = Config['rate_limits']['endpoint']['routes'];

/** Parameters of a path, as OpenAPI writes them (`{key}`) and as the server does (`:key`, `*key`). */
const PARAMETER = /\/(?:\{[^/]*\}|[:*][^/]*)/g;

const plain = (route: string) => route.replace(PARAMETER, '/{}');

/** The limit of a single route, in whichever way its parameters are written; undefined where it has none of its own. */
export function limitOfRoute(limits: RouteLimits, route: string): RouteLimits[string] | undefined {
  const wanted = plain(route);
  return Object.entries(limits).find(([name]) => plain(name) === wanted)?.[1];
}

/** Tells of limits for routes that there are not: a limit that is misspelled would protect nothing. */
@Injectable()
export class UnknownRouteLimits implements OnApplicationBootstrap {
  constructor(
    private readonly config: LiveConfig,
    private readonly routes: RouteTable,
  ) {}

  onApplicationBootstrap(): void {
    const known = new Set(this.routes.all.map(({ method, url }) => plain(`${method} ${url}`)));
    this.config.follow(({ rate_limits }) => {
      const unknown = Object.keys(rate_limits.endpoint.routes).filter((name) => !known.has(plain(name)));
      if (unknown.length > 0)
        log.warn({ unknown }, 'rate_limits.endpoint.routes has limits of routes that there are not');
    });
  }
}
