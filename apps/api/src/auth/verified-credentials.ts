import { Injectable } from '@nestjs/common';
import { DependencyUnavailable } from '../platform/http/api-error.js';
import { CredentialEpoch } from './credential-epoch.js';
import type { Principal } from './principal.js';

const MAX_REMEMBERED = 10_000;
/** From this age on the epoch is asked for again in the background, … */
const REFRESH_AFTER_MS = 400;
/** … and at this age before the credential is taken: a revoked key works for at most one second on any node. */
const MAX_AGE_MS = 900;

/**
 * Credentials that were verified a moment ago, so that a request costs no database. They are kept in memory under their
 * own text: a hash per request would cost more than the rest of the check, and the text of every live credential passes
 * through this memory anyway.
 */
@Injectable()
export class VerifiedCredentials {
  private readonly remembered = new Map<string, Principal>();
  private knownEpoch = '';
  private checkedAt = -Infinity;
  private checking: Promise<void> | undefined;

  constructor(private readonly epochs: CredentialEpoch) {}

  /** The principal of a verified credential. Undefined: verify it, after `catchUp`. */
  recall(credential: string): Principal | undefined {
    const age = performance.now() - this.checkedAt;
    if (age > REFRESH_AFTER_MS) {
      if (age > MAX_AGE_MS) return undefined;
      this.catchUp().catch(() => undefined);
    }
    const principal = this.remembered.get(credential);
    return principal && principal.expiresAtMs > Date.now() ? principal : undefined;
  }

  /** The epoch as last seen: to be noted before a credential is verified, and handed to `remember`. */
  get epoch(): string {
    return this.knownEpoch;
  }

  /** Keeps a verified credential, unless some credential has ended since its verification began: it may be that one. */
  remember(credential: string, principal: Principal, epoch: string): void {
    if (epoch !== this.knownEpoch) return;
    if (this.remembered.size >= MAX_REMEMBERED) {
      const [oldest] = this.remembered.keys();
      if (oldest !== undefined) this.remembered.delete(oldest);
    }
    this.remembered.set(credential, principal);
  }

  /**
   * Forgets everything if any credential has ended since the last time.
   * @throws DependencyUnavailable when the database does not tell: nothing may be granted then
   */
  catchUp(): Promise<void> {
    this.checking ??= this.check().finally(() => (this.checking = undefined));
    return this.checking;
  }

  /** Called where a credential has ended on this node, so that it does not work for another moment. */
  forgetAll(): void {
    this.remembered.clear();
    this.knownEpoch = '';
  }

  private async check(): Promise<void> {
    const askedAt = performance.now();
    try {
      const epoch = await this.epochs.current();
      if (epoch !== this.knownEpoch) this.remembered.clear();
      this.knownEpoch = epoch;
      this.checkedAt = askedAt;
    } catch (cause) {
      throw new DependencyUnavailable('database', { cause });
    }
  }
}
