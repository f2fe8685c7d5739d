import { type DynamicModule, Module, StandardSchemaValidationPipe } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_PIPE } from '@nestjs/core';
import { AdminModule } from './admin/admin.module.js';
import { AccessGuard } from './auth/access.guard.js';
import { AuthModule } from './auth/auth.module.js';
import { RouteLimitsGuard } from './auth/limits/route-limits.guard.js';
import { UnknownRouteLimits } from './auth/limits/route-limits.js';
import { noteRefusal } from './auth/refusals.js';
import { CacheModule } from './cache/cache.module.js';
import { MonitorModule } from './monitor/monitor.module.js';
import { AuditLog } from './platform/audit/audit-log.js';
import { InvalidRequest } from './platform/http/api-error.js';
import { ErrorFilter } from './platform/http/error-filter.js';
import { RouteTable } from './platform/http/route-table.js';
import { violations } from './platform/http/validation.js';
import { type Foundations, PlatformModule } from './platform/platform.module.js';

/** The application: its features, and what every request passes through. */
@Module({})
export class AppModule {
  static of(foundations: Foundations, routes: RouteTable): DynamicModule {
    return {
      module: AppModule,
      imports: [PlatformModule.of(foundations), AuthModule, CacheModule, MonitorModule, AdminModule],
      providers: [
        { provide: RouteTable, useValue: routes },
        UnknownRouteLimits,
        { provide: APP_GUARD, useExisting: AccessGuard },
        { provide: APP_GUARD, useExisting: RouteLimitsGuard },
        {
          provide: APP_PIPE,
          useValue: new StandardSchemaValidationPipe({
            exceptionFactory: (issues) => new InvalidRequest(violations(issues)),
          }),
        },
        {
          provide: APP_FILTER,
          inject: [AuditLog],
          useFactory: (audit: AuditLog) =>
            new ErrorFilter(routes, (request, error) => noteRefusal(audit, request, error)),
        },
      ],
    };
  }
}
