import path from 'node:path';

/**
 * The built service without authentication, permissions and limits, as there is no such setting: the guards let everybody
 * through as one principal, and the limiter knows of no limit. Everything else is the same.
 */
const DIST = path.join(import.meta.dirname, '../../apps/api/dist');
const at = (/** @type {string} */ file) => import(path.join(DIST, file));
const { AccessGuard } = await at('auth/access.guard.js');
const { RouteLimitsGuard } = await at('auth/limits/route-limits.guard.js');
const { RateLimiter } = await at('auth/rate-limiter.js');
const { principal } = await at('auth/principal.js');

const anybody = principal({
  type: 'api_key',
  id: 'anybody',
  name: 'anybody',
  role: null,
  grants: ['*'],
  namespace: 'default',
  keyPrefixes: [],
  tier: 'enterprise',
  rateLimit: null,
  sessionId: null,
  expiresAtMs: Infinity,
});
AccessGuard.prototype.recall = () => anybody;
AccessGuard.prototype.canActivate = (/** @type {any} */ context) => {
  context.switchToHttp().getRequest().principal = anybody;
  return true;
};
RouteLimitsGuard.prototype.canActivate = () => true;
RateLimiter.prototype.countAtOnce = () => undefined;
RateLimiter.prototype.isOn = () => false;

await at('entry/server.js');
