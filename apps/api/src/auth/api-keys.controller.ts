import {
  type ApiKey,
  type ApiKeyList,
  apiKeyListSchema,
  apiKeyQuerySchema,
  apiKeySchema,
  type ChangeApiKeyRequest,
  changeApiKeyRequestSchema,
  type CreateApiKeyRequest,
  createApiKeyRequestSchema,
  type CreatedApiKey,
  createdApiKeySchema,
  type RotateApiKeyRequest,
  rotateApiKeyRequestSchema,
} from '@cache-system/contracts';
import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Req } from '@nestjs/common';
import { ApiCreatedResponse, ApiNoContentResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { ApiErrors, ApiQueries } from '../platform/http/openapi.js';
import { requiredQuery } from '../platform/http/query.js';
import { Requires } from './access.js';
import { ApiKeyDirectory } from './api-key-directory.js';
import { ApiKeysService, type Asking } from './api-keys.service.js';
import { actor, caller } from './caller.js';
import { examples } from './examples.js';

@ApiTags('Auth')
@Controller('auth/api-keys')
export class ApiKeysController {
  constructor(
    private readonly apiKeys: ApiKeysService,
    private readonly directory: ApiKeyDirectory,
  ) {}

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
    return this.apiKeys.create(asking(request), body);
  }

  @Get()
  @Requires('admin:read')
  @ApiQueries(apiKeyQuerySchema)
  @ApiOperation({
    summary: 'List the API keys',
    description: 'By page, newest first. An API key sees those of its own namespace.',
  })
  @ApiOkResponse({ standardSchema: apiKeyListSchema, example: { api_keys: [examples.apiKey], cursor: null } })
  @ApiErrors('INVALID_REQUEST')
  list(@Req() request: FastifyRequest): Promise<ApiKeyList> {
    return this.directory.list(caller(request), requiredQuery(apiKeyQuerySchema, request));
  }

  @Get(':id')
  @Requires('admin:read')
  @ApiOperation({ summary: 'Read an API key', description: 'Everything about it but the key itself.' })
  @ApiOkResponse({ standardSchema: apiKeySchema, example: examples.apiKey })
  @ApiErrors('RESOURCE_NOT_FOUND')
  read(@Req() request: FastifyRequest, @Param('id') id: string): Promise<ApiKey> {
    return this.directory.read(caller(request), id);
  }

  @Patch(':id')
  @Requires('admin:write')
  @ApiOperation({
    summary: 'Change an API key',
    description:
      'Sets what is named and leaves the rest; a list is replaced as a whole. In force on every node within a second. Nobody can change a key that has what they lack, nor give it that.',
  })
  @ApiOkResponse({ standardSchema: apiKeySchema, example: examples.apiKey })
  @ApiErrors('INVALID_REQUEST', 'RESOURCE_NOT_FOUND')
  changeApiKey(
    @Req() request: FastifyRequest,
    @Param('id') id: string,
    @Body({ schema: changeApiKeyRequestSchema }) body: ChangeApiKeyRequest,
  ): Promise<ApiKey> {
    return this.apiKeys.change(asking(request), id, body);
  }

  @Post(':id/rotate')
  @Requires('admin:write')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Rotate an API key',
    description:
      'Gives it a new text, which is in this response and nowhere else; id, rights and expiry stay. The text that it had works for the overlap, and older ones no longer than that.',
  })
  @ApiOkResponse({ standardSchema: createdApiKeySchema, example: examples.rotatedApiKey })
  @ApiErrors('INVALID_REQUEST', 'RESOURCE_NOT_FOUND')
  rotateApiKey(
    @Req() request: FastifyRequest,
    @Param('id') id: string,
    @Body({ schema: rotateApiKeyRequestSchema }) body: RotateApiKeyRequest,
  ): Promise<CreatedApiKey> {
    return this.apiKeys.rotate(asking(request), id, body);
  }

  @Delete(':id')
  @Requires('admin:write')
  @HttpCode(204)
  @ApiOperation({ summary: 'Revoke an API key', description: 'It stops working on every node within a second.' })
  @ApiNoContentResponse({ description: 'The key is revoked' })
  @ApiErrors('RESOURCE_NOT_FOUND')
  revoke(@Req() request: FastifyRequest, @Param('id') id: string): Promise<void> {
    return this.apiKeys.revoke(asking(request), id);
  }
}

function asking(request: FastifyRequest): Asking {
  return { by: caller(request), actor: actor(request) };
}
