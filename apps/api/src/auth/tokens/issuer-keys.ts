import type { OAuth2 } from '@cache-system/contracts';
import { createLocalJWKSet, errors } from 'jose';
import { request } from 'undici';
import { z } from 'zod';
import { ApiError } from '../../platform/http/api-error.js';
import { log } from '../../platform/logging.js';
import { addressPolicy } from '../../platform/outgoing/allowed-hosts.js';
import { guardedAgent, resolveBySystem } from '../../platform/outgoing/guarded-agent.js';
import { TokenRefused, type UnverifiedToken } from './token-text.js';

const FETCH_TIMEOUT_MS = 5000;
const MAX_BYTES = 256 * 1024;
const MAX_KEYS = 100;

const keySetSchema = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).max(MAX_KEYS) });

type KeySet = ReturnType<typeof createLocalJWKSet>;
type IssuerKey = Awaited<ReturnType<KeySet>>;

/** The keys of the issuer are not known, and it does not tell them: nothing can be said about its tokens. */
class IssuerUnavailable extends ApiError {
  constructor(retryAfterSeconds: number, options: ErrorOptions) {
    const headers = { 'Retry-After': String(Math.max(1, Math.ceil(retryAfterSeconds))) };
    super('SERVICE_OVERLOADED', { dependency: 'oauth2 issuer' }, { ...options, headers });
  }
}

/**
 * The keys that an outside issuer publishes (RFC 7517 §5). They are fetched when the first token comes, when they are old
 * and when a token names a key that is not among them, but not more often than once per cool-down, whether that went well
 * or not: tokens with made-up key ids cost the issuer nothing.
 */
export class IssuerKeys {
  private readonly agent;
  private known: { readonly keys: KeySet; readonly fetchedAt: number } | undefined;
  private attemptedAt = -Infinity;
  /** Why the last attempt failed; undefined when it did not. */
  private failure: unknown;
  private fetching: Promise<void> | undefined;

  constructor(private readonly issuer: OAuth2) {
    this.agent = guardedAgent({
      policy: addressPolicy(issuer.allowed_hosts),
      resolve: resolveBySystem,
      connections: 1,
      connectTimeoutMs: FETCH_TIMEOUT_MS,
      idleTimeoutMs: FETCH_TIMEOUT_MS,
      maxBytes: MAX_BYTES,
    });
  }

  /** @throws TokenRefused when the issuer has no such key, IssuerUnavailable while it does not tell */
  async keyFor({ header }: UnverifiedToken): Promise<IssuerKey> {
    if (this.ageSeconds > this.issuer.jwks_max_age) {
      const refreshed = this.refresh();
      // Where the last answer was none, nobody waits for the next as long as the keys are good without it.
      if (this.failure === undefined) await refreshed;
    }
    const known = await this.find(header);
    if (known) return known;
    await this.refresh();
    const fetched = await this.find(header);
    if (fetched) return fetched;
    if (this.failure === undefined && !this.isTooOld) throw new TokenRefused();
    throw new IssuerUnavailable(this.issuer.jwks_cooldown - secondsSince(this.attemptedAt), { cause: this.failure });
  }

  close(): void {
    void this.agent.close();
  }

  private get ageSeconds(): number {
    return this.known ? secondsSince(this.known.fetchedAt) : Infinity;
  }

  private get isTooOld(): boolean {
    const { jwks_max_age, jwks_outage_grace } = this.issuer;
    return this.ageSeconds > jwks_max_age + jwks_outage_grace;
  }

  private async find({ alg, kid }: UnverifiedToken['header']): Promise<IssuerKey | undefined> {
    if (!this.known || this.isTooOld) return undefined;
    try {
      return await this.known.keys({ alg, kid });
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) return undefined;
      throw new TokenRefused(undefined, { cause: error });
    }
  }

  private refresh(): Promise<void> {
    if (this.fetching) return this.fetching;
    if (secondsSince(this.attemptedAt) < this.issuer.jwks_cooldown) return Promise.resolve();
    this.attemptedAt = performance.now();
    this.fetching = this.fetch().then(
      (keys) => {
        this.known = { keys, fetchedAt: performance.now() };
        this.failure = undefined;
      },
      (error: unknown) => {
        this.failure = error;
        log.warn({ err: error, jwks_uri: this.issuer.jwks_uri }, 'the keys of the oauth2 issuer cannot be fetched');
      },
    );
    return this.fetching.finally(() => (this.fetching = undefined));
  }

  private async fetch(): Promise<KeySet> {
    const { statusCode, body } = await request(this.issuer.jwks_uri, {
      dispatcher: this.agent,
      headers: { accept: 'application/jwk-set+json, application/json' },
      signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
    });
    if (statusCode !== 200) {
      await body.dump();
      throw new Error(`answered ${statusCode}`);
    }
    return createLocalJWKSet(keySetSchema.parse(await body.json()));
  }
}

function secondsSince(instant: number): number {
  return (performance.now() - instant) / 1000;
}
