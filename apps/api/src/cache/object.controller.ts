import { objectWriteQuerySchema, writeResponseSchema } from '@cache-system/contracts';
import {
  applyDecorators,
  Controller,
  Delete,
  Get,
  Head,
  HttpCode,
  Post,
  Put,
  Req,
  Res,
  UseGuards,
} from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiBody, ApiConsumes, ApiOkResponse, ApiOperation, ApiParam, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Requires } from '../auth/access.js';
import { ApiErrors, ApiQueries } from '../platform/http/openapi.js';
import { InflateBody } from '../platform/http/request-body.js';
import { examples } from './examples.js';
import { Objects } from './objects.js';

const Key = () =>
  ApiParam({ name: 'key', description: '1 to 512 bytes of UTF-8, percent-encoded', example: 'logo.png' });
const bytes = { schema: { type: 'string', format: 'binary' } } as const;

const Store = (method: 'put' | 'post') =>
  applyDecorators(
    HttpCode(200),
    Requires('cache:write'),
    RouteConfig({ rawBody: true, anyBody: true }),
    Key(),
    ApiQueries(objectWriteQuerySchema),
    ApiConsumes('*/*'),
    ApiBody({ description: 'Any bytes, none included', ...bytes, examples: { text: { value: 'any bytes' } } }),
    ApiOperation({
      summary: method === 'put' ? 'Store a body as it is' : 'Store a body as it is, by POST',
      description:
        'Kept byte for byte with its `Content-Type`. Without `ttl` the default of the configuration counts; `ttl=0` means for ever.',
    }),
    ApiOkResponse({ standardSchema: writeResponseSchema, example: examples.updated }),
    ApiErrors(
      'INVALID_KEY_FORMAT',
      'INVALID_REQUEST',
      'AUTHENTICATION_FAILED',
      'INSUFFICIENT_PERMISSIONS',
      'PAYLOAD_TOO_LARGE',
      'UNSUPPORTED_MEDIA_TYPE',
      'PRECONDITION_FAILED',
      'RATE_LIMIT_EXCEEDED',
      'STORAGE_FULL',
      'CACHE_UNAVAILABLE',
      'CACHE_TIMEOUT',
    ),
  );
const READ_ERRORS = [
  'INVALID_KEY_FORMAT',
  'INVALID_REQUEST',
  'AUTHENTICATION_FAILED',
  'INSUFFICIENT_PERMISSIONS',
  'CACHE_KEY_NOT_FOUND',
  'PRECONDITION_FAILED',
  'RATE_LIMIT_EXCEEDED',
  'CACHE_UNAVAILABLE',
  'CACHE_TIMEOUT',
] as const;

/** The same entries as under `/v1/cache`, as plain bodies. */
@ApiTags('Object')
@UseGuards(InflateBody)
@Controller('object')
export class ObjectController {
  constructor(private readonly objects: Objects) {}

  // Before GET, for which Fastify would otherwise add a HEAD route of its own.
  @Head(':key')
  @Requires('cache:read')
  @Key()
  @ApiOperation({ summary: 'Ask for the headers of an object', description: 'As GET, without the body.' })
  @ApiOkResponse({ description: 'The object is there' })
  @ApiErrors(...READ_ERRORS)
  headObject(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.objects.read(request, reply);
  }

  @Get(':key')
  @Requires('cache:read')
  @Key()
  @ApiOperation({
    summary: 'Retrieve an object',
    description: 'The body as it was stored, under its `Content-Type`. Browsers run nothing of it.',
  })
  @ApiOkResponse({ description: 'The body', content: { '*/*': { ...bytes, example: 'any bytes' } } })
  @ApiResponse({ status: 304, description: 'The object still has the ETag given' })
  @ApiErrors(...READ_ERRORS)
  readObject(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.objects.read(request, reply);
  }

  @Put(':key')
  @Store('put')
  storeObject(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.objects.store(request, reply);
  }

  @Post(':key')
  @Store('post')
  postObject(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.objects.store(request, reply);
  }

  @Delete(':key')
  @HttpCode(200)
  @Requires('cache:write')
  @RouteConfig({ rawBody: true, anyBody: true })
  @Key()
  @ApiOperation({ summary: 'Remove an object', description: '`X-Deleted-From` names the layers that held it.' })
  @ApiOkResponse({ description: 'The object is gone' })
  @ApiErrors(...READ_ERRORS)
  deleteObject(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.objects.remove(request, reply);
  }
}
