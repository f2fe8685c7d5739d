import {
  type ChangePasswordRequest,
  changePasswordRequestSchema,
  type Identity,
  identitySchema,
  type LoginRequest,
  loginRequestSchema,
  type RefreshRequest,
  refreshRequestSchema,
  type TokenPair,
  tokenPairSchema,
} from '@cache-system/contracts';
import { Body, Controller, Get, HttpCode, Post, Req } from '@nestjs/common';
import { ApiHeader, ApiNoContentResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { ApiErrors } from '../platform/http/openapi.js';
import { CacheSizes } from './cache-size.js';
import { Public, Requires } from './access.js';
import { AccountsService } from './accounts.service.js';
import { actor, caller } from './caller.js';
import { examples } from './examples.js';
import { namespaceOf } from './namespace.js';
import { SessionsService } from './sessions.service.js';

@ApiTags('Auth')
@Controller('auth')
export class AuthController {
  constructor(
    private readonly accounts: AccountsService,
    private readonly sessions: SessionsService,
    private readonly sizes: CacheSizes,
  ) {}

  @Post('login')
  @Public()
  @HttpCode(200)
  @ApiOperation({
    summary: 'Log in',
    description:
      'Opens a session: a short-lived access token and a refresh token for the next one. After failures at an account, or from an address, there are waits, which `Retry-After` tells.',
  })
  @ApiOkResponse({ standardSchema: tokenPairSchema, example: examples.tokenPair })
  @ApiErrors('INVALID_REQUEST', 'AUTHENTICATION_FAILED', 'RATE_LIMIT_EXCEEDED', 'SERVICE_OVERLOADED')
  login(@Req() request: FastifyRequest, @Body({ schema: loginRequestSchema }) body: LoginRequest): Promise<TokenPair> {
    return this.accounts.login(body, actor(request));
  }

  @Post('refresh')
  @Public()
  @HttpCode(200)
  @ApiOperation({
    summary: 'Refresh the tokens of a session',
    description:
      'Replaces the refresh token by a new one. A refresh without an answer can be repeated within 10 seconds, and has the same new one. Any other second use of a refresh token ends its whole session.',
  })
  @ApiOkResponse({ standardSchema: tokenPairSchema, example: examples.tokenPair })
  @ApiErrors('INVALID_REQUEST', 'AUTHENTICATION_FAILED', 'SERVICE_OVERLOADED')
  refresh(
    @Req() request: FastifyRequest,
    @Body({ schema: refreshRequestSchema }) { refresh_token }: RefreshRequest,
  ): Promise<TokenPair> {
    return this.sessions.refresh(refresh_token, actor(request));
  }

  @Post('logout')
  @Requires('authenticated')
  @HttpCode(204)
  @ApiOperation({
    summary: 'Log out',
    description:
      'Ends the session of the access token: it and its refresh token stop working. An API key has no session.',
  })
  @ApiNoContentResponse({ description: 'The session has ended' })
  async logout(@Req() request: FastifyRequest): Promise<void> {
    const { sessionId } = caller(request);
    if (sessionId !== null) await this.sessions.logout(sessionId, actor(request));
  }

  @Post('change-password')
  @Requires('authenticated')
  @HttpCode(204)
  @ApiOperation({
    summary: 'Change your password',
    description: 'Ends your other sessions. Wrong current passwords count as failed logins.',
  })
  @ApiNoContentResponse({ description: 'The new password is in force' })
  @ApiErrors('INVALID_REQUEST', 'INSUFFICIENT_PERMISSIONS', 'CACHE_KEY_CONFLICT')
  changePassword(
    @Req() request: FastifyRequest,
    @Body({ schema: changePasswordRequestSchema }) body: ChangePasswordRequest,
  ): Promise<void> {
    return this.accounts.changePassword(caller(request), body, actor(request));
  }

  @Get('me')
  @Requires('authenticated')
  @ApiOperation({ summary: 'Who am I', description: 'Tells whose credential it is and what it may do.' })
  @ApiHeader({
    name: 'X-Cache-Namespace',
    required: false,
    description: 'For users: the namespace whose size is told; `default` if left out',
  })
  @ApiOkResponse({ standardSchema: identitySchema, example: examples.identity })
  @ApiErrors('INVALID_REQUEST')
  async me(@Req() request: FastifyRequest): Promise<Identity> {
    const { type, id, name, role, grants, keyPrefixes, tier } = caller(request);
    const namespace = namespaceOf(request, caller(request));
    return {
      type,
      id,
      name,
      role,
      permissions: [...grants],
      namespace,
      key_prefixes: [...keyPrefixes],
      tier,
      cache_size: await this.sizes.read(namespace, tier),
    };
  }
}
