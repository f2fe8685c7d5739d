import { type Config, configSchema, type Grant } from '@cache-system/contracts';
import type { DataSource } from 'typeorm';
import { makeIssuerKey, startIssuer, type TokenIssuer } from '../../../test/support/token-issuer.js';
import { LiveConfig } from '../../platform/live-config.js';
import { DatabaseClock } from '../../platform/postgres/database-clock.js';
import { CredentialEpoch } from '../credential-epoch.js';
import type { PresentedCredential } from '../presented-credential.js';
import { VerifiedCredentials } from '../verified-credentials.js';
import { OutsideTokens } from './outside-tokens.js';
import { readToken, TokenRefused } from './token-text.js';

const key = makeIssuerKey('rsa-1');
/** A database in which no credential ends. */
const database = {
  query: () => Promise.resolve([{ sessions: '1', keys: '1', toldAtMs: Date.now() }]),
} as unknown as DataSource;

let issuer: TokenIssuer;
beforeAll(async () => {
  issuer = await startIssuer('api');
  issuer.publish(key);
});
afterAll(() => issuer.stop());

function configOf(grants: readonly Grant[], methods: readonly string[] = ['oauth2'], rest: object = {}): Config {
  const oauth2 = {
    issuer: issuer.url,
    audience: 'api',
    jwks_uri: issuer.jwksUri,
    allowed_hosts: ['127.0.0.1'],
    mapping: { 'shop:buy': grants },
  };
  return configSchema.parse({ security: { authentication: { methods, oauth2 } }, ...rest });
}

async function remembering(config: Config) {
  const live = new LiveConfig(config);
  const clock = new DatabaseClock();
  const verified = new VerifiedCredentials(new CredentialEpoch(database), clock, live);
  const tokens = new OutsideTokens(live, verified, clock);
  const text = issuer.token(key, { scope: 'openid shop:buy' });
  const credential: PresentedCredential = { kind: 'jwt', text };
  await verified.catchUp();
  verified.remember(credential, await tokens.verify(readToken(text)), verified.generationOf(credential.kind));
  expect(verified.recall(credential)?.grants).toEqual(['cache:read']);
  return { live, verified, tokens, text, credential };
}

test('another mapping counts at once, also for tokens that were verified before', async () => {
  const { live, verified, tokens, text, credential } = await remembering(configOf(['cache:read']));
  live.replace(configOf(['cache:write']));
  expect(verified.recall(credential)).toBeUndefined();
  expect((await tokens.verify(readToken(text))).grants).toEqual(['cache:write']);
  tokens.onApplicationShutdown();
});

test('an issuer that is switched off counts no longer', async () => {
  const { live, verified, tokens, text, credential } = await remembering(configOf(['cache:read']));
  live.replace(configOf(['cache:read'], ['api_key']));
  expect(verified.recall(credential)).toBeUndefined();
  await expect(tokens.verify(readToken(text))).rejects.toThrow(TokenRefused);
});

test('a change of something else leaves what is remembered, and the keys of the issuer', async () => {
  const { live, verified, tokens, text, credential } = await remembering(configOf(['cache:read']));
  const { fetches } = issuer;
  live.replace(configOf(['cache:read'], ['oauth2'], { server: { drain_timeout: 1 } }));
  expect(verified.recall(credential)?.grants).toEqual(['cache:read']);
  await tokens.verify(readToken(text));
  expect(issuer.fetches).toBe(fetches);
  tokens.onApplicationShutdown();
});
