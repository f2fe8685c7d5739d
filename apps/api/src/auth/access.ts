import type { Permission } from '@cache-system/contracts';
import { applyDecorators, SetMetadata } from '@nestjs/common';
import { ApiExtension, ApiSecurity } from '@nestjs/swagger';
import { ApiErrors } from '../platform/http/openapi.js';

export const ACCESS = Symbol('access');

/** Who may call a route: everybody, whoever is signed in, or who holds a permission. */
export type Access = 'public' | 'authenticated' | Permission;

/** Everybody may call the route, without credentials. */
export const Public = () => applyDecorators(SetMetadata(ACCESS, 'public'), ApiExtension('x-permission', 'public'));

/** Whoever holds the permission may call the route, or every valid credential; documents the errors that come of it. */
export const Requires = (access: Exclude<Access, 'public'>) =>
  applyDecorators(
    SetMetadata(ACCESS, access),
    ApiExtension('x-permission', access),
    ApiSecurity('api_key'),
    ApiSecurity('bearer'),
    ApiErrors(
      'AUTHENTICATION_FAILED',
      ...(access === 'authenticated' ? [] : (['INSUFFICIENT_PERMISSIONS'] as const)),
      'RATE_LIMIT_EXCEEDED',
      'SERVICE_OVERLOADED',
    ),
  );
