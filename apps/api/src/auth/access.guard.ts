import type { IncomingHttpHeaders } from 'node:http';
import type { Permission } from '@cache-system/contracts';
import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AuthenticationFailed, InsufficientPermissions } from '../platform/http/api-error.js';
import { LiveConfig } from '../platform/live-config.js';
import { ACCESS, type Access } from './access.js';
import { CredentialVerifier } from './credential-verifier.js';
import { credentialIn, type PresentedCredential, presentedCredential } from './presented-credential.js';
import type { Principal } from './principal.js';
import { RateLimiter, RateLimitExceeded } from './rate-limiter.js';
import { VerifiedCredentials } from './verified-credentials.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who calls; undefined on public routes. */
    principal: Principal | undefined;
  }
}

/**
 * Who are you, may you, and not too often. A credential that was verified a moment ago is found in memory, and then the
 * whole check is synchronous.
 */
@Injectable()
export class AccessGuard implements CanActivate {
  /** Of each route handler, read from its decorators once. */
  private readonly access = new Map<unknown, Access>();
  private inQuery = true;
  private methods = new Set<string>();

  constructor(
    private readonly verifier: CredentialVerifier,
    private readonly verified: VerifiedCredentials,
    private readonly limiter: RateLimiter,
    config: LiveConfig,
  ) {
    config.follow(({ security: { authentication } }) => {
      this.inQuery = authentication.api_key_in_query;
      this.methods = new Set(authentication.methods);
    });
  }

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const access = this.access.get(context.getHandler()) ?? this.readAccess(context);
    if (access === 'public') return true;
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const credential = presentedCredential(request, this.inQuery);
    if (!credential) throw new AuthenticationFailed('send X-API-Key or Authorization: Bearer');
    if (!this.methods.has(credential.kind)) throw new AuthenticationFailed(`${credential.kind} is switched off`);
    const known = this.verified.recall(credential);
    if (known) return this.admit(request, known, access);
    return this.verify(credential, context).then((principal) => this.admit(request, principal, access));
  }

  /** Whose credential the headers carry, if this node has verified it a moment ago and it holds the permission. */
  recall(headers: IncomingHttpHeaders, permission: Permission): Principal | undefined {
    const credential = credentialIn(headers);
    if (!credential || !this.methods.has(credential.kind)) return undefined;
    const principal = this.verified.recall(credential);
    return principal?.permissions.has(permission) ? principal : undefined;
  }

  /**
   * Who calls, looked at again, for a request that goes on for long.
   * @throws AuthenticationFailed, InsufficientPermissions, DependencyUnavailable
   */
  async recheck(request: FastifyRequest, reply: FastifyReply, permission: Permission): Promise<Principal> {
    const credential = presentedCredential(request, this.inQuery);
    if (!credential || !this.methods.has(credential.kind)) throw new AuthenticationFailed('it is switched off');
    const context = new ExecutionContextHost([request, reply]);
    const principal = this.verified.recall(credential) ?? (await this.verify(credential, context));
    if (!principal.permissions.has(permission)) {
      throw new InsufficientPermissions({ required: permission, held: principal.grants });
    }
    return principal;
  }

  private async verify(credential: PresentedCredential, context: ExecutionContext) {
    const isCaughtUp = await this.verified.catchUpSoon();
    const again = this.verified.recall(credential);
    if (again) return again;
    if (!isCaughtUp) await this.verified.catchUp();
    const since = this.verified.now;
    const principal = await this.verifier.verify(credential, context);
    this.verified.remember(credential, principal, since);
    return principal;
  }

  private admit(request: FastifyRequest, principal: Principal, access: Access): true {
    request.principal = principal;
    try {
      request.rateLimit = this.limiter.admit(principal);
    } catch (error) {
      if (error instanceof RateLimitExceeded) request.rateLimit = error.bucket;
      throw error;
    }
    if (access !== 'authenticated' && access !== 'public' && !principal.permissions.has(access)) {
      throw new InsufficientPermissions({ required: access, held: principal.grants });
    }
    return true;
  }

  private readAccess(context: ExecutionContext): Access {
    const access = Reflect.getMetadata(ACCESS, context.getHandler()) as Access | undefined;
    // The start-up check has refused such a route; this is the second lock.
    if (access === undefined)
      throw new InsufficientPermissions({ required: 'nobody: the route declares no permission' });
    this.access.set(context.getHandler(), access);
    return access;
  }
}
