import { Injectable, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import { StartRefused } from '../platform/env.js';
import { ACCESS } from './access.js';

/** Under this name Nest keeps the HTTP method of a route handler. */
const ROUTE = 'method';

/** Refuses to start with a route that does not say who may call it. */
@Injectable()
export class DeclaredAccess implements OnModuleInit {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
  ) {}

  /** @throws StartRefused which names each such route */
  onModuleInit(): void {
    const undeclared = this.discovery.getControllers().flatMap(({ name, metatype }) => {
      const prototype = metatype?.prototype as Record<string, object>;
      return this.scanner
        .getAllMethodNames(prototype)
        .filter((method) => {
          const handler = prototype[method] as object;
          return Reflect.hasMetadata(ROUTE, handler) && !Reflect.hasMetadata(ACCESS, handler);
        })
        .map((method) => `${name}.${method}: declares neither @Public() nor @Requires()`);
    });
    if (undeclared.length > 0) throw new StartRefused(undeclared);
  }
}
