import type { FastifyInstance } from 'fastify';

export interface Route {
  readonly method: string;
  /** Path with parameters as `:name` and `*` for any rest. */
  readonly url: string;
}

/** Which methods each path takes, to tell a wrong method from a wrong path. */
export class RouteTable {
  private readonly routes: (Route & { readonly pattern: RegExp })[] = [];

  constructor(fastify: FastifyInstance) {
    fastify.addHook('onRoute', ({ method, url }) => {
      const pattern = new RegExp(
        `^${url
          .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
          .replace(/:[^/]+/g, '[^/]+')
          .replace(/\*/g, '.*')}$`,
      );
      for (const name of [method].flat()) this.routes.push({ pattern, method: name, url });
    });
  }

  /** Everything that the server has. */
  get all(): readonly Route[] {
    return this.routes;
  }

  methodsFor(path: string): string[] {
    return [...new Set(this.routes.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method))].sort();
  }
}
