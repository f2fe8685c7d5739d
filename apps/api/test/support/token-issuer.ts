import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { forgeToken, type Json } from './jwt.js';

export interface IssuerKey {
  readonly kid: string;
  readonly alg: 'RS256' | 'ES256' | 'EdDSA';
  readonly privateKey: KeyObject;
}

/** Answers instead of the issuer. */
type Reply = (request: IncomingMessage, response: ServerResponse) => void;

export interface TokenIssuer {
  readonly url: string;
  readonly port: number;
  readonly jwksUri: string;
  /** How often the keys were asked for. */
  readonly fetches: number;
  /** What is published from now on. */
  publish(...keys: readonly IssuerKey[]): void;
  /** Undefined: as it should be again. */
  replyWith(reply: Reply | undefined): void;
  /** A token as it issues them, with the claims changed. */
  token(key: IssuerKey, changes?: Json, header?: Json): string;
  stop(): Promise<void>;
}

export function makeIssuerKey(kid: string, alg: IssuerKey['alg'] = 'RS256'): IssuerKey {
  const { privateKey } =
    alg === 'RS256'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : alg === 'ES256'
        ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
        : generateKeyPairSync('ed25519');
  return { kid, alg, privateKey };
}

/** An authorization server on 127.0.0.1, as far as it publishes keys. */
export async function startIssuer(audience: string, port = 0): Promise<TokenIssuer> {
  let published: readonly IssuerKey[] = [];
  let fetches = 0;
  let override: Reply | undefined;
  const server = createServer((request, response) => {
    fetches++;
    if (override) {
      override(request, response);
      return;
    }
    const keys = published.map(({ kid, alg, privateKey }) => ({
      ...createPublicKey(privateKey.export({ format: 'pem', type: 'pkcs8' })).export({ format: 'jwk' }),
      kid,
      alg,
      use: 'sig',
    }));
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys }));
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const { port: taken } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${taken}`;
  return {
    url,
    port: taken,
    jwksUri: `${url}/jwks`,
    get fetches() {
      return fetches;
    },
    publish: (...keys) => {
      published = keys;
    },
    replyWith: (reply) => {
      override = reply;
    },
    token: ({ kid, alg, privateKey }, changes = {}, header = {}) => {
      const now = Math.floor(Date.now() / 1000);
      const claims = { iss: url, aud: audience, sub: 'service-account-shop', iat: now, exp: now + 600, ...changes };
      return forgeToken({ alg, typ: 'at+jwt', kid, ...header }, claims, privateKey);
    },
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
