import { Injectable, type OnModuleInit } from '@nestjs/common';
import { DependencyUnavailable } from '../platform/http/api-error.js';
import { LiveConfig } from '../platform/live-config.js';
import { DatabaseClock } from '../platform/postgres/database-clock.js';
import { CredentialEpoch, type Epochs } from './credential-epoch.js';
import type { PresentedCredential } from './presented-credential.js';
import type { Principal } from './principal.js';

type Kind = PresentedCredential['kind'];

const MAX_REMEMBERED = 10_000;
/** From this age on the epoch is asked for again in the background, … */
const REFRESH_AFTER_MS = 400;
/** … and at this age before the credential is taken: a revoked key works for at most one second on any node. */
const MAX_AGE_MS = 900;
/** A database that has not answered after this time counts as one that does not, for who is remembered. */
const PATIENCE_MS = 1000;
/** So often the database is asked again while it does not answer. */
const RETRY_AFTER_MS = 500;

/**
 * Credentials that were verified a moment ago, so that a request costs no database. They are kept in memory under their
 * own text: a hash per request would cost more than the rest of the check, and the text of every live credential passes
 * through this memory anyway.
 */
@Injectable()
export class VerifiedCredentials implements OnModuleInit {
  private readonly remembered = { api_key: new Map<string, Principal>(), jwt: new Map<string, Principal>() };
  private known: Pick<Epochs, 'sessions' | 'keys'> = { sessions: '', keys: '' };
  /** Each rises whenever all credentials of its kind are forgotten. */
  private readonly generations = { api_key: 0, jwt: 0 };
  private checkedAt = -Infinity;
  /** When the database last failed to answer; undefined while it does. */
  private failedAt: number | undefined;
  private checking: Promise<void> | undefined;
  private graceMs = 0;

  constructor(
    private readonly epochs: CredentialEpoch,
    private readonly clock: DatabaseClock,
    config: LiveConfig,
  ) {
    config.follow(({ security }) => (this.graceMs = security.authentication.database_outage_grace * 1000));
  }

  async onModuleInit(): Promise<void> {
    await this.catchUp();
  }

  /**
   * The principal of a verified credential. Undefined: verify it, after `catchUp`. While the database does not answer,
   * what is remembered stays good for the grace time: a cache should not stop with its control plane.
   */
  recall({ kind, text }: PresentedCredential): Principal | undefined {
    const now = performance.now();
    const ageMs = now - this.checkedAt;
    if (ageMs > REFRESH_AFTER_MS) {
      if (ageMs > (this.failedAt === undefined ? MAX_AGE_MS : Math.max(MAX_AGE_MS, this.graceMs))) return undefined;
      if (this.failedAt === undefined || now - this.failedAt > RETRY_AFTER_MS) this.catchUp().catch(() => undefined);
    }
    const principal = this.remembered[kind].get(text);
    return principal && principal.expiresAtMs > this.clock.at(now) ? principal : undefined;
  }

  /** To be noted before a credential of the kind is verified, and handed to `remember`. */
  generationOf(kind: Kind): number {
    return this.generations[kind];
  }

  /** Keeps a verified credential, unless one of its kind has ended since its verification began: it may be that one. */
  remember({ kind, text }: PresentedCredential, principal: Principal, since: number): void {
    if (since !== this.generations[kind]) return;
    const remembered = this.remembered[kind];
    if (remembered.size >= MAX_REMEMBERED) {
      const [oldest] = remembered.keys();
      if (oldest !== undefined) remembered.delete(oldest);
    }
    remembered.set(text, principal);
  }

  /**
   * Forgets the credentials of each kind of which any has ended since the last time.
   * @throws DependencyUnavailable when the database does not tell: nothing may be granted then
   */
  catchUp(): Promise<void> {
    this.checking ??= this.check().finally(() => (this.checking = undefined));
    return this.checking;
  }

  /** The same without an error. False: the database does not tell soon, and what is remembered is good for the grace time. */
  async catchUpSoon(): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const outOfPatience = new Promise<false>((resolve) => (timer = setTimeout(resolve, PATIENCE_MS, false)));
    const answered = this.catchUp().then(
      () => true,
      () => false,
    );
    const isInTime = await Promise.race([answered, outOfPatience]);
    clearTimeout(timer);
    if (!isInTime) this.failedAt ??= performance.now();
    return isInTime;
  }

  /** Called where a credential of the kind has ended on this node, so that it does not work for another moment. */
  forget(kind: Kind): void {
    this.remembered[kind].clear();
    this.generations[kind]++;
  }

  private async check(): Promise<void> {
    const askedAt = performance.now();
    try {
      const epochs = await this.epochs.current();
      this.clock.hear(epochs.toldAtMs, askedAt, performance.now());
      if (epochs.keys !== this.known.keys) this.forget('api_key');
      if (epochs.sessions !== this.known.sessions) this.forget('jwt');
      this.known = epochs;
      this.checkedAt = askedAt;
      this.failedAt = undefined;
    } catch (cause) {
      this.failedAt = performance.now();
      throw new DependencyUnavailable('database', { cause });
    }
  }
}
