import { Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { JwtModule } from '@nestjs/jwt';
import { PassportModule } from '@nestjs/passport';
import { EngineModule } from '../platform/engine/engine.module.js';
import { Secrets } from '../platform/secrets.js';
import { AccessGuard } from './access.guard.js';
import { AccessTokens } from './access-tokens.js';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeysService } from './api-keys.service.js';
import { AuthController } from './auth.controller.js';
import { Bootstrap } from './bootstrap.js';
import { CredentialEpoch } from './credential-epoch.js';
import { CredentialVerifier } from './credential-verifier.js';
import { DeclaredAccess } from './declared-access.js';
import { AddressLimits } from './limits/address-limits.js';
import { RateLimitRejections } from './limits/rejections.js';
import { RouteLimitsGuard } from './limits/route-limits.guard.js';
import { throttlerProviders } from './limits/throttler.js';
import { RateLimiter } from './rate-limiter.js';
import { SessionsService } from './sessions.service.js';
import { ApiKeyStrategy } from './strategies/api-key.strategy.js';
import { AccessTokenStrategy } from './strategies/jwt.strategy.js';
import { VerifiedCredentials } from './verified-credentials.js';

@Module({
  imports: [
    DiscoveryModule,
    EngineModule,
    PassportModule,
    JwtModule.registerAsync({ inject: [Secrets], useFactory: ({ jwtSecret }: Secrets) => ({ secret: jwtSecret }) }),
  ],
  controllers: [AuthController, ApiKeysController],
  providers: [
    AccessGuard,
    AccessTokens,
    AddressLimits,
    ApiKeysService,
    ApiKeyStrategy,
    AccessTokenStrategy,
    Bootstrap,
    CredentialEpoch,
    CredentialVerifier,
    DeclaredAccess,
    RateLimiter,
    RateLimitRejections,
    RouteLimitsGuard,
    SessionsService,
    VerifiedCredentials,
    ...throttlerProviders,
  ],
  exports: [AccessGuard, AddressLimits, Bootstrap, RateLimiter, RouteLimitsGuard],
})
export class AuthModule {}
