import type { Permission } from '@cache-system/contracts';
import { applyDecorators, SetMetadata } from '@nestjs/common';
import { ApiExtension, ApiSecurity } from '@nestjs/swagger';

export const ACCESS = Symbol('access');

/** Who may call a route: everybody, whoever is signed in, or who holds a permission. */
export type Access = 'public' | 'authenticated' | Permission;

/** Everybody may call the route, without credentials. */
export const Public = () => applyDecorators(SetMetadata(ACCESS, 'public'), ApiExtension('x-permission', 'public'));

/** Whoever holds the permission may call the route; without one, every valid credential does. */
export const Requires = (access: Exclude<Access, 'public'>) =>
  applyDecorators(
    SetMetadata(ACCESS, access),
    ApiExtension('x-permission', access),
    ApiSecurity('api_key'),
    ApiSecurity('bearer'),
  );
