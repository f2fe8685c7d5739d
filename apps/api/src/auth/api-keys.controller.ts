import {
  type ApiKey,
  type ApiKeyList,
  apiKeyListSchema,
  apiKeySchema,
  type CreateApiKeyRequest,
  createApiKeyRequestSchema,
  type CreatedApiKey,
  createdApiKeySchema,
} from '@cache-system/contracts';
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Req } from '@nestjs/common';
import { ApiCreatedResponse, ApiNoContentResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { ApiErrors } from '../platform/http/openapi.js';
import { Requires } from './access.js';
import { ApiKeysService } from './api-keys.service.js';
import { caller } from './caller.js';
import { examples } from './examples.js';

@ApiTags('Auth')
@Controller('auth/api-keys')
export class ApiKeysController {
  constructor(private readonly apiKeys: ApiKeysService) {}

  @Post()
  @Requires('admin:write')
  @ApiOperation({
    summary: 'Create an API key',
    description: 'The key itself is in this response and nowhere else. Nobody can grant what they lack.',
  })
  @ApiCreatedResponse({ standardSchema: createdApiKeySchema, example: examples.createdApiKey })
  @ApiErrors('INVALID_REQUEST')
  create(
    @Req() request: FastifyRequest,
    @Body({ schema: createApiKeyRequestSchema }) body: CreateApiKeyRequest,
  ): Promise<CreatedApiKey> {
    return this.apiKeys.create(caller(request), body);
  }

  @Get()
  @Requires('admin:read')
  @ApiOperation({
    summary: 'List the API keys',
    description: 'All keys that are not revoked, newest first. An API key sees those of its own namespace.',
  })
  @ApiOkResponse({ standardSchema: apiKeyListSchema, example: { api_keys: [examples.apiKey] } })
  async list(@Req() request: FastifyRequest): Promise<ApiKeyList> {
    return { api_keys: await this.apiKeys.list(caller(request)) };
  }

  @Get(':id')
  @Requires('admin:read')
  @ApiOperation({ summary: 'Read an API key', description: 'Everything about it but the key itself.' })
  @ApiOkResponse({ standardSchema: apiKeySchema, example: examples.apiKey })
  @ApiErrors('RESOURCE_NOT_FOUND')
  read(@Req() request: FastifyRequest, @Param('id') id: string): Promise<ApiKey> {
    return this.apiKeys.read(caller(request), id);
  }

  @Delete(':id')
  @Requires('admin:write')
  @HttpCode(204)
  @ApiOperation({ summary: 'Revoke an API key', description: 'It stops working on every node within a second.' })
  @ApiNoContentResponse({ description: 'The key is revoked' })
  @ApiErrors('RESOURCE_NOT_FOUND')
  revoke(@Req() request: FastifyRequest, @Param('id') id: string): Promise<void> {
    return this.apiKeys.revoke(caller(request), id);
  }
}
