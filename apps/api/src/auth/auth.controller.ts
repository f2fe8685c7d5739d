import {
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
import { ApiNoContentResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { ApiErrors } from '../platform/http/openapi.js';
import { CacheSizes } from './cache-size.js';
import { Public, Requires } from './access.js';
import { caller } from './caller.js';
import { examples } from './examples.js';
import { SessionsService } from './sessions.service.js';

@ApiTags('Auth')
@Controller('auth')
export class AuthController {
  constructor(
    private readonly sessions: SessionsService,
    private readonly sizes: CacheSizes,
  ) {}

  @Post('login')
  @Public()
  @HttpCode(200)
  @ApiOperation({
    summary: 'Log in',
    description: 'Opens a session: a short-lived access token and a refresh token for the next one.',
  })
  @ApiOkResponse({ standardSchema: tokenPairSchema, example: examples.tokenPair })
  @ApiErrors('INVALID_REQUEST', 'AUTHENTICATION_FAILED', 'SERVICE_OVERLOADED')
  login(@Body({ schema: loginRequestSchema }) { email, password }: LoginRequest): Promise<TokenPair> {
    return this.sessions.login(email, password);
  }

  @Post('refresh')
  @Public()
  @HttpCode(200)
  @ApiOperation({
    summary: 'Refresh the tokens of a session',
    description: 'Replaces the refresh token by a new one. A refresh token that is used twice ends its whole session.',
  })
  @ApiOkResponse({ standardSchema: tokenPairSchema, example: examples.tokenPair })
  @ApiErrors('INVALID_REQUEST', 'AUTHENTICATION_FAILED', 'SERVICE_OVERLOADED')
  refresh(@Body({ schema: refreshRequestSchema }) { refresh_token }: RefreshRequest): Promise<TokenPair> {
    return this.sessions.refresh(refresh_token);
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
    if (sessionId !== null) await this.sessions.logout(sessionId);
  }

  @Get('me')
  @Requires('authenticated')
  @ApiOperation({ summary: 'Who am I', description: 'Tells whose credential it is and what it may do.' })
  @ApiOkResponse({ standardSchema: identitySchema, example: examples.identity })
  async me(@Req() request: FastifyRequest): Promise<Identity> {
    const { type, id, name, role, grants, namespace, keyPrefixes, tier } = caller(request);
    return {
      type,
      id,
      name,
      role,
      permissions: [...grants],
      namespace: namespace ?? 'default',
      key_prefixes: [...keyPrefixes],
      tier,
      cache_size: await this.sizes.read(namespace ?? 'default', tier),
    };
  }
}
