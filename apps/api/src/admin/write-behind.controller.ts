import {
  discardRequestSchema,
  type DiscardRequest,
  discardResponseSchema,
  replayRequestSchema,
  type ReplayRequest,
  replayResponseSchema,
  writeBehindQuerySchema,
  type WriteBehindFigures,
  type WriteBehindQuery,
  writeBehindRecordsSchema,
  writeBehindSchema,
} from '@cache-system/contracts';
import { Body, Controller, Get, HttpCode, Post, Query, Req } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { Requires } from '../auth/access.js';
import { actor, caller } from '../auth/caller.js';
import { ApiErrors, ApiQueries } from '../platform/http/openapi.js';
import { examples } from './examples.js';
import { WriteBehindRecords } from './write-behind-records.js';

@ApiTags('Admin')
@Controller('admin/write-behind')
export class WriteBehindController {
  constructor(private readonly records: WriteBehindRecords) {}

  @Get()
  @Requires('admin:read')
  @ApiOperation({
    summary: 'See how far sources are behind',
    description:
      'The journal of all nodes: writes with `write-behind` that have been answered before their source has them.',
  })
  @ApiOkResponse({ standardSchema: writeBehindSchema, example: examples.writeBehind })
  @ApiErrors('CACHE_UNAVAILABLE', 'CACHE_TIMEOUT')
  readWriteBehind(): Promise<WriteBehindFigures> {
    return this.records.figures();
  }

  @Get('records')
  @Requires('admin:read')
  @ApiQueries(writeBehindQuerySchema)
  @ApiOperation({
    summary: 'List the dead letters, or what is waiting',
    description:
      'Of a key the newest write is kept alone. Whoever is limited to a namespace or to prefixes sees those.',
  })
  @ApiOkResponse({ standardSchema: writeBehindRecordsSchema, example: examples.writeBehindRecords })
  @ApiErrors('INVALID_REQUEST', 'CACHE_UNAVAILABLE', 'CACHE_TIMEOUT')
  listWriteBehindRecords(
    @Req() request: FastifyRequest,
    @Query({ schema: writeBehindQuerySchema }) query: WriteBehindQuery,
  ) {
    return this.records.list(caller(request), query);
  }

  @Post('replay')
  @HttpCode(200)
  @Requires('admin:write')
  @ApiOperation({
    summary: 'Try dead letters again',
    description: 'They begin anew, with no attempt counted. What is no dead letter is passed over.',
  })
  @ApiOkResponse({ standardSchema: replayResponseSchema, example: examples.replayed })
  @ApiErrors('INVALID_REQUEST', 'CACHE_UNAVAILABLE', 'CACHE_TIMEOUT')
  async replayWriteBehind(
    @Req() request: FastifyRequest,
    @Body({ schema: replayRequestSchema }) body: ReplayRequest,
  ): Promise<{ replayed: number }> {
    return { replayed: await this.records.replay(caller(request), actor(request), body) };
  }

  @Post('discard')
  @HttpCode(200)
  @Requires('admin:write')
  @ApiOperation({
    summary: 'Give dead letters up for good',
    description:
      'The source keeps what it has, and the cache drops the key, so that the next read asks the source. The write is lost. What is no dead letter is passed over.',
  })
  @ApiOkResponse({ standardSchema: discardResponseSchema, example: examples.discarded })
  @ApiErrors('INVALID_REQUEST', 'CACHE_UNAVAILABLE', 'CACHE_TIMEOUT')
  async discardWriteBehind(
    @Req() request: FastifyRequest,
    @Body({ schema: discardRequestSchema }) body: DiscardRequest,
  ): Promise<{ discarded: number }> {
    return { discarded: await this.records.discard(caller(request), actor(request), body) };
  }
}
