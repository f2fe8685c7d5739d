import { Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { JwtModule } from '@nestjs/jwt';
import { PassportModule } from '@nestjs/passport';
import { Secrets } from '../platform/secrets.js';
import { AccessGuard } from './access.guard.js';
import { AccessTokens } from './access-tokens.js';
import { ApiKeyAuthentication } from './api-key-authentication.js';
import { ApiKeyDirectory } from './api-key-directory.js';
import { ApiKeyUses } from './api-key-uses.js';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeysService } from './api-keys.service.js';
import { AuthController } from './auth.controller.js';
import { Bootstrap } from './bootstrap.js';
import { CredentialEpoch } from './credential-epoch.js';
import { CredentialVerifier } from './credential-verifier.js';
import { DeclaredAccess } from './declared-access.js';
import { RateLimiter } from './rate-limiter.js';
import { SessionsService } from './sessions.service.js';
import { ApiKeyStrategy } from './strategies/api-key.strategy.js';
import { AccessTokenStrategy } from './strategies/jwt.strategy.js';
import { VerifiedCredentials } from './verified-credentials.js';

@Module({
  imports: [
    DiscoveryModule,
    PassportModule,
    JwtModule.registerAsync({ inject: [Secrets], useFactory: ({ jwtSecret }: Secrets) => ({ secret: jwtSecret }) }),
  ],
  controllers: [AuthController, ApiKeysController],
  providers: [
    AccessGuard,
    AccessTokens,
    ApiKeyAuthentication,
    ApiKeyDirectory,
    ApiKeysService,
    ApiKeyUses,
    ApiKeyStrategy,
    AccessTokenStrategy,
    Bootstrap,
    CredentialEpoch,
    CredentialVerifier,
    DeclaredAccess,
    RateLimiter,
    SessionsService,
    VerifiedCredentials,
  ],
  exports: [AccessGuard, Bootstrap, RateLimiter],
})
export class AuthModule {}
