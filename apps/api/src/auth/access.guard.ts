import type { IncomingHttpHeaders } from 'node:http';
import type { Permission } from '@cache-system/contracts';
import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AuthenticationFailed, InsufficientPermissions } from '../platform/http/api-error.js';
import { LiveConfig } from '../platform/live-config.js';
import { ACCESS, type Access } from './access.js';
import { isMistyped } from './api-key-format.js';
import { ApiKeyUses } from './api-key-uses.js';
import { CredentialVerifier } from './credential-verifier.js';
import { withoutPort } from './limits/address.js';
import { credentialIn, type PresentedCredential, presentedCredential } from './presented-credential.js';
import type { Principal } from './principal.js';
import { RateLimiter } from './rate-limiter.js';
import { VerifiedCredentials } from './verified-credentials.js';

/** What is remembered may be a moment old, which is too old to give rights away by: the database is asked each time. */
const ASKED_ANEW: ReadonlySet<Access> = new Set(['admin:write', 'config:write']);

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
  private readonly verifying = new Map<string, Promise<Principal>>();
  private inQuery = true;
  private methods = new Set<string>();

  constructor(
    private readonly verifier: CredentialVerifier,
    private readonly verified: VerifiedCredentials,
    private readonly limiter: RateLimiter,
    private readonly uses: ApiKeyUses,
    config: LiveConfig,
  ) {
    config.follow(({ security: { authentication } }) => {
      this.inQuery = authentication.api_key_in_query;
      // Bearer tokens, whoever has issued them: which are taken is decided where they are verified.
      this.methods = new Set(authentication.methods.map((method) => (method === 'oauth2' ? 'jwt' : method)));
    });
  }

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const access = this.access.get(context.getHandler()) ?? this.readAccess(context);
    if (access === 'public') return true;
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const credential = presentedCredential(request, this.inQuery);
    if (!credential) throw new AuthenticationFailed('send X-API-Key or Authorization: Bearer');
    if (!this.methods.has(credential.kind)) throw new AuthenticationFailed(`${credential.kind} is switched off`);
    const anew = ASKED_ANEW.has(access);
    const known = anew ? undefined : this.verified.recall(credential);
    if (known) return this.admit(request, known, access);
    const verification = anew ? this.verifyAnew(credential, context) : this.verify(credential, context);
    return verification.then((principal) => this.admit(request, principal, access));
  }

  /**
   * Whose credential the headers carry, if this node has verified it a moment ago, it holds the permission, and it does
   * not matter where it comes from.
   */
  recall(headers: IncomingHttpHeaders, permission: Permission): Principal | undefined {
    const credential = credentialIn(headers);
    if (!credential || !this.methods.has(credential.kind)) return undefined;
    const principal = this.verified.recall(credential);
    if (!principal?.permissions.has(permission) || principal.allowedIps) return undefined;
    this.uses.note(principal);
    return principal;
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
    refuseElsewhere(principal, request);
    if (!principal.permissions.has(permission)) {
      throw new InsufficientPermissions({ required: permission, held: principal.grants });
    }
    return principal;
  }

  private async verifyAnew(credential: PresentedCredential, context: ExecutionContext): Promise<Principal> {
    // Brings the clock in step, by which credentials expire.
    if (!isHopeless(credential)) await this.verified.catchUp();
    return this.verifier.verify(credential, context);
  }

  private async verify(credential: PresentedCredential, context: ExecutionContext): Promise<Principal> {
    if (isHopeless(credential)) return this.verifier.verify(credential, context);
    const isCaughtUp = await this.verified.catchUpSoon();
    const again = this.verified.recall(credential);
    if (again) return again;
    if (!isCaughtUp) await this.verified.catchUp();
    return this.verifyOnce(credential, context);
  }

  /** Of many requests with a credential that is not known, one has it verified. Not for those after one like it has ended. */
  private verifyOnce(credential: PresentedCredential, context: ExecutionContext): Promise<Principal> {
    const since = this.verified.generationOf(credential.kind);
    const id = `${credential.kind} ${since} ${credential.text}`;
    const pending = this.verifying.get(id);
    if (pending) return pending;
    const verification = this.verifier
      .verify(credential, context)
      .then((principal) => {
        this.verified.remember(credential, principal, since);
        return principal;
      })
      .finally(() => this.verifying.delete(id));
    this.verifying.set(id, verification);
    return verification;
  }

  private admit(request: FastifyRequest, principal: Principal, access: Access): true | Promise<true> {
    request.principal = principal;
    // Before the limit: nobody else uses up what the owner of the credential may ask.
    refuseElsewhere(principal, request);
    this.uses.note(principal);
    const counting = this.limiter.count(request, this.limiter.ofCaller(principal));
    return counting ? counting.then(() => permit(principal, access)) : permit(principal, access);
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

/** @throws InsufficientPermissions */
function refuseElsewhere({ allowedIps }: Principal, { ip }: FastifyRequest): void {
  if (!allowedIps) return;
  const address = withoutPort(ip);
  if (!allowedIps.has(address)) throw new InsufficientPermissions({ refused_address: address });
}

/** @throws InsufficientPermissions */
function permit(principal: Principal, access: Access): true {
  if (access !== 'authenticated' && access !== 'public' && !principal.permissions.has(access)) {
    throw new InsufficientPermissions({ required: access, held: principal.grants });
  }
  return true;
}

/** Nothing that the database says could make it a key. */
function isHopeless({ kind, text }: PresentedCredential): boolean {
  return kind === 'api_key' && isMistyped(text);
}
