import { Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { PassportModule } from '@nestjs/passport';
import { EngineModule } from '../platform/engine/engine.module.js';
import { DatabaseClock } from '../platform/postgres/database-clock.js';
import { AccessGuard } from './access.guard.js';
import { AccessTokens } from './access-tokens.js';
import { AccountsService } from './accounts.service.js';
import { ApiKeyAuthentication } from './api-key-authentication.js';
import { ApiKeyDirectory } from './api-key-directory.js';
import { ApiKeyUses } from './api-key-uses.js';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeysService } from './api-keys.service.js';
import { AuthController } from './auth.controller.js';
import { Bootstrap } from './bootstrap.js';
import { CacheSizes } from './cache-size.js';
import { CredentialEpoch } from './credential-epoch.js';
import { CredentialVerifier } from './credential-verifier.js';
import { DeclaredAccess } from './declared-access.js';
import { JwksController } from './jwks.controller.js';
import { AddressLimits } from './limits/address-limits.js';
import { RateLimitRejections } from './limits/rejections.js';
import { RouteLimitsGuard } from './limits/route-limits.guard.js';
import { throttlerProviders } from './limits/throttler.js';
import { LoginSlowDown } from './login-slow-down.js';
import { RateLimiter } from './rate-limiter.js';
import { SessionsService } from './sessions.service.js';
import { ApiKeyStrategy } from './strategies/api-key.strategy.js';
import { AccessTokenStrategy } from './strategies/jwt.strategy.js';
import { OutsideTokens } from './tokens/outside-tokens.js';
import { UsersService } from './users.service.js';
import { VerifiedCredentials } from './verified-credentials.js';

@Module({
  imports: [DiscoveryModule, EngineModule, PassportModule],
  controllers: [AuthController, ApiKeysController, JwksController],
  providers: [
    AccessGuard,
    AccessTokens,
    AccountsService,
    AddressLimits,
    ApiKeyAuthentication,
    ApiKeyDirectory,
    ApiKeysService,
    ApiKeyUses,
    ApiKeyStrategy,
    AccessTokenStrategy,
    Bootstrap,
    CacheSizes,
    CredentialEpoch,
    CredentialVerifier,
    DatabaseClock,
    DeclaredAccess,
    OutsideTokens,
    LoginSlowDown,
    RateLimiter,
    RateLimitRejections,
    RouteLimitsGuard,
    SessionsService,
    UsersService,
    VerifiedCredentials,
    ...throttlerProviders,
  ],
  exports: [AccessGuard, AddressLimits, Bootstrap, RateLimiter, RouteLimitsGuard, UsersService],
})
export class AuthModule {}
