import { CACHE_PROTO } from '@cache-system/cache-engine';
import { Controller, Get, Header } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Public } from '../auth/access.js';
import { ApiErrors } from '../platform/http/openapi.js';

@ApiTags('Cache')
@Controller('schema')
export class SchemaController {
  @Get('cache.proto')
  @Public()
  @Header('Content-Type', 'text/plain; charset=utf-8')
  @ApiOperation({
    summary: 'Read the messages of the cache endpoints in Protocol Buffers',
    description:
      'A proto3 file to generate a client from. Bodies with `Content-Type: application/protobuf`, and responses where `Accept` or `?format=protobuf` asks for them, are these messages.',
  })
  @ApiOkResponse({ content: { 'text/plain': { schema: { type: 'string' }, example: CACHE_PROTO.slice(0, 200) } } })
  @ApiErrors()
  readCacheProto(): string {
    return CACHE_PROTO;
  }
}
