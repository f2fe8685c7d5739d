import type { Config, RateLimit, Tier } from '@cache-system/contracts';
import { type OnApplicationShutdown, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { Layers } from '../platform/engine/layers.js';
import type { RateLimitState } from '../platform/http/rate-limit-state.js';
import { LiveConfig } from '../platform/live-config.js';
import { addressSubject } from './limits/address.js';
import { type Allowance, type Dimension, nowMs, RateLimitExceeded } from './limits/allowance.js';
import { LeasedAllowance } from './limits/leased-allowance.js';
import { LocalAllowance } from './limits/local-allowance.js';
import { RateLimitRejections } from './limits/rejections.js';
import { limitOfRoute } from './limits/route-limits.js';
import { isSameRule, type Rule } from './limits/rule.js';
import { SharedLimits } from './limits/shared-limits.js';
import { beside, together } from './limits/standings.js';
import { Subjects } from './limits/subjects.js';
import type { Principal } from './principal.js';

type RateLimits = Config['rate_limits'];

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
/** The one subject that is everybody. */
const EVERYBODY = 'all';

/** What a tier allows, in the shape in which an API key tells it. */
export function tierLimit(config: Config, tier: Tier): RateLimit {
  const { requests_per_hour, burst_size } = config.rate_limits.tiers[tier];
  return { requests_per_minute: Math.max(1, Math.floor(requests_per_hour / 60)), burst_size };
}

/** Holds everybody to their rates: each caller, each endpoint, each address, and all together. */
@Injectable()
export class RateLimiter implements OnApplicationShutdown {
  private readonly shared: SharedLimits | undefined;
  private readonly subjects: Readonly<Record<Dimension, Subjects>> = {
    key: new Subjects(),
    endpoint: new Subjects(),
    ip: new Subjects(),
    global: new Subjects(),
  };
  private limits: RateLimits;
  /** Proxies say where a request comes from, in headers that are not for every path to read. */
  private hasProxies = false;

  constructor(
    config: LiveConfig,
    layers: Layers,
    private readonly rejections: RateLimitRejections,
  ) {
    this.limits = config.current.rate_limits;
    if (layers.shared) {
      this.shared = new SharedLimits(layers.shared, layers.backplane, config.current.cache.layers.l2.deadline_ms);
    }
    config.follow(({ rate_limits, server, cache }) => {
      this.limits = rate_limits;
      this.hasProxies = server.trusted_proxies.length > 0;
      this.shared?.setDeadline(cache.layers.l2.deadline_ms);
      for (const subjects of Object.values(this.subjects)) subjects.reconsider();
    });
  }

  async onApplicationShutdown(): Promise<void> {
    await this.shared?.close();
  }

  /** Whether the nodes count together; undefined where there is only this one. */
  get isTogether(): boolean | undefined {
    return this.shared?.available;
  }

  isOn(dimension: Dimension): boolean {
    return this.limits.enabled && this.limits[dimension].enabled;
  }

  /** What a caller may do; undefined where callers are not limited. */
  ofCaller(principal: Principal): Allowance | undefined {
    if (!this.isOn('key')) return undefined;
    const known = this.subjects.key.find(principal.id);
    if (known?.origin === principal) return known;
    return this.revise('key', principal.id, known, principal, this.callerRule(principal));
  }

  ofAddress(address: string | undefined): Allowance | undefined {
    return this.isOn('ip') ? this.of('ip', addressSubject(address)) : undefined;
  }

  /** @param route method and path as they are declared */
  ofEndpoint(route: string): Allowance | undefined {
    return this.isOn('endpoint') ? this.of('endpoint', route) : undefined;
  }

  ofEverybody(): Allowance | undefined {
    return this.isOn('global') ? this.of('global', EVERYBODY) : undefined;
  }

  /**
   * Counts a request against an allowance, which its response then tells of. Undefined: it was let through at once.
   * @throws RateLimitExceeded
   */
  count(request: FastifyRequest, allowance: Allowance | undefined): Promise<void> | undefined {
    if (!allowance) return undefined;
    request.rateLimit = beside(request.rateLimit, allowance);
    const taken = this.take(allowance);
    if (taken === true) return undefined;
    if (taken === false) throw new RateLimitExceeded(allowance);
    return taken.then((isTaken) => {
      if (!isTaken) throw new RateLimitExceeded(allowance);
    });
  }

  /** Whether a request is let through, and a note of it where it is not. */
  take(allowance: Allowance): boolean | Promise<boolean> {
    const verdict = allowance.take(nowMs());
    if (verdict === 'taken') return true;
    if (verdict === 'ask') return allowance.ask().then((isTaken) => isTaken || this.refuse(allowance));
    return this.refuse(allowance);
  }

  /**
   * Counts a request against everything there is, if all of it lets the request through at once. False: nothing was
   * counted. Undefined: nothing is limited.
   */
  countAtOnce(
    principal: Principal,
    route: string,
    from: { readonly remoteAddress?: string | undefined },
  ): RateLimitState | undefined | false {
    const atMs = nowMs();
    const caller = this.ofCaller(principal);
    if (!this.isOn('endpoint') && !this.isOn('ip') && !this.isOn('global')) {
      return caller === undefined || caller.take(atMs) === 'taken' ? caller : false;
    }
    if (this.isOn('ip') && this.hasProxies) return false;
    const asked = [this.ofAddress(from.remoteAddress), caller, this.ofEndpoint(route), this.ofEverybody()];
    const taken: Allowance[] = [];
    for (const allowance of asked) {
      if (!allowance) continue;
      if (allowance.take(atMs) !== 'taken') {
        for (const each of taken) each.putBack();
        return false;
      }
      taken.push(allowance);
    }
    return together(taken);
  }

  private refuse({ dimension, subject }: Allowance): false {
    this.rejections.note(dimension, subject);
    return false;
  }

  private of(dimension: 'endpoint' | 'ip' | 'global', subject: string): Allowance {
    const known = this.subjects[dimension].find(subject);
    if (known?.origin === this.limits) return known;
    return this.revise(dimension, subject, known, this.limits, this.ruleOf(dimension, subject));
  }

  private revise(
    dimension: Dimension,
    subject: string,
    known: Allowance | undefined,
    origin: unknown,
    rule: Rule,
  ): Allowance {
    const allowance = known ?? this.open(dimension, subject, rule);
    if (!isSameRule(allowance.rule, rule)) allowance.adopt(rule);
    allowance.origin = origin;
    return allowance;
  }

  private open(dimension: Dimension, subject: string, rule: Rule): Allowance {
    const allowance =
      this.shared && dimension !== 'endpoint'
        ? new LeasedAllowance(dimension, subject, rule, this.shared)
        : new LocalAllowance(dimension, subject, rule);
    this.subjects[dimension].add(subject, allowance);
    return allowance;
  }

  private callerRule({ rateLimit, tier }: Principal): Rule {
    const { strategy } = this.limits.key;
    if (rateLimit) {
      return { strategy, limit: rateLimit.requests_per_minute, windowMs: MINUTE_MS, burst: rateLimit.burst_size };
    }
    const { requests_per_hour, burst_size } = this.limits.tiers[tier];
    return { strategy, limit: requests_per_hour, windowMs: HOUR_MS, burst: burst_size };
  }

  private ruleOf(dimension: 'endpoint' | 'ip' | 'global', subject: string): Rule {
    const { strategy, burst, ...general } = this.limits[dimension];
    const own = dimension === 'endpoint' ? limitOfRoute(this.limits.endpoint.routes, subject) : undefined;
    const { limit, window } = own ?? general;
    return { strategy, limit, windowMs: window * SECOND_MS, burst };
  }
}
