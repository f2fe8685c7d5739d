import { type NodeJob, type NodeJobList, nodeJobListSchema, nodeJobSchema } from '@cache-system/contracts';
import { Controller, Get, HttpCode, Param, Post, Req, Res } from '@nestjs/common';
import { ApiAcceptedResponse, ApiNoContentResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Requires } from '../auth/access.js';
import { actor, caller } from '../auth/caller.js';
import { ApiErrors } from '../platform/http/openapi.js';
import { examples } from './examples.js';
import { JobEvents } from './job-events.js';
import { NodesService } from './nodes.service.js';
import { refuseTenants } from './operators.js';

@ApiTags('Admin')
@Controller('admin/nodes/jobs')
export class NodeJobsController {
  constructor(
    private readonly nodes: NodesService,
    private readonly events: JobEvents,
  ) {}

  @Get()
  @Requires('admin:read')
  @ApiOperation({ summary: 'List the jobs on nodes', description: 'The last hundred, newest first.' })
  @ApiOkResponse({ standardSchema: nodeJobListSchema, example: { jobs: [examples.job] } })
  async listNodeJobs(): Promise<NodeJobList> {
    return { jobs: await this.nodes.listJobs() };
  }

  @Get(':id')
  @Requires('admin:read')
  @ApiOperation({ summary: 'Read a job on a node', description: 'How far it is, and why it stopped if it has.' })
  @ApiOkResponse({ standardSchema: nodeJobSchema, example: examples.job })
  @ApiErrors('RESOURCE_NOT_FOUND')
  readNodeJob(@Param('id') id: string): Promise<NodeJob> {
    return this.nodes.readJob(id);
  }

  @Get(':id/events')
  @Requires('admin:read')
  @ApiOperation({
    summary: 'Watch a job on a node',
    description:
      'Server-sent events: the whole job, as an event `progress`, whenever it has changed. The stream ends with the job; who comes again with `Last-Event-ID` after that gets 204.',
  })
  @ApiOkResponse({
    description: 'The stream',
    content: { 'text/event-stream': { schema: { type: 'string' }, example: examples.progressEvent } },
  })
  @ApiNoContentResponse({ description: 'The job is over, and the caller knows' })
  @ApiErrors('RESOURCE_NOT_FOUND')
  watchNodeJob(@Req() request: FastifyRequest, @Res() reply: FastifyReply, @Param('id') id: string): Promise<void> {
    return this.events.stream(id, request, reply);
  }

  @Post(':id/resume')
  @Requires('admin:write')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Resume a job on a node',
    description: 'Goes on where a job that is `paused` or `failed` has stopped. One that runs goes on running.',
  })
  @ApiAcceptedResponse({ standardSchema: nodeJobSchema, example: examples.job })
  @ApiErrors('RESOURCE_NOT_FOUND', 'CACHE_KEY_CONFLICT')
  resumeNodeJob(@Req() request: FastifyRequest, @Param('id') id: string): Promise<NodeJob> {
    refuseTenants(caller(request));
    return this.nodes.resumeJob(id, actor(request));
  }

  @Post(':id/cancel')
  @Requires('admin:write')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Cancel a job on a node',
    description: 'It ends before the next slot. What it has done stays: slots that were moved are where they are now.',
  })
  @ApiAcceptedResponse({ standardSchema: nodeJobSchema, example: examples.job })
  @ApiErrors('RESOURCE_NOT_FOUND', 'CACHE_KEY_CONFLICT')
  cancelNodeJob(@Req() request: FastifyRequest, @Param('id') id: string): Promise<NodeJob> {
    refuseTenants(caller(request));
    return this.nodes.cancelJob(id, actor(request));
  }
}
