import { type ExecutionContext, Injectable } from '@nestjs/common';
import { AuthGuard } from '@nestjs/passport';
import type { FastifyRequest } from 'fastify';
import { ApiError, AuthenticationFailed, DependencyUnavailable } from '../platform/http/api-error.js';
import type { PresentedCredential } from './presented-credential.js';
import type { Principal } from './principal.js';
import { API_KEY_HEADER } from './strategies/api-key.strategy.js';
import { TokenRefused } from './tokens/token-text.js';

const STRATEGIES = { api_key: AuthGuard('api_key'), jwt: AuthGuard('jwt') };

/** Has Passport verify a credential that is not known yet. */
@Injectable()
export class CredentialVerifier {
  private readonly guards = {
    api_key: new (passportGuard('api_key'))(),
    jwt: new (passportGuard('jwt'))(),
  };

  /** @throws AuthenticationFailed, DependencyUnavailable */
  async verify(credential: PresentedCredential, context: ExecutionContext): Promise<Principal> {
    const request = context.switchToHttp().getRequest<FastifyRequest & { user?: Principal }>();
    // Passport's strategy looks in one header only: a key that came otherwise is put there.
    if (credential.kind === 'api_key') request.headers[API_KEY_HEADER] = credential.text;
    await this.guards[credential.kind].canActivate(context);
    if (!request.user) throw new AuthenticationFailed('the credential is not valid');
    return request.user;
  }
}

function passportGuard(kind: keyof typeof STRATEGIES) {
  return class extends STRATEGIES[kind] {
    /** What Passport found: an error of ours, a principal, or the reason why there is none. */
    override handleRequest<T>(error: unknown, user: T | false | undefined, info: unknown): T {
      if (error instanceof ApiError) throw error;
      if (error) throw new DependencyUnavailable('database', { cause: error });
      if (user) return user;
      throw new AuthenticationFailed(reasonFor(kind, info), { cause: info });
    }
  };
}

function reasonFor(kind: keyof typeof STRATEGIES, info: unknown): string {
  if (kind === 'api_key') return 'the API key is unknown, expired, disabled or revoked';
  return (info instanceof TokenRefused ? info : new TokenRefused()).message;
}
