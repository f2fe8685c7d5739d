import {
  type AddNodeRequest,
  addNodeRequestSchema,
  type Node,
  type NodeJob,
  nodeJobSchema,
  type NodeList,
  nodeListSchema,
  nodeSchema,
} from '@cache-system/contracts';
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Req, Res } from '@nestjs/common';
import { ApiAcceptedResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Requires } from '../auth/access.js';
import { actor, caller } from '../auth/caller.js';
import { ApiErrors } from '../platform/http/openapi.js';
import { examples, jobLocation, LOCATION } from './examples.js';
import { NodesService } from './nodes.service.js';
import { refuseTenants } from './operators.js';

@ApiTags('Admin')
@Controller('admin/nodes')
export class NodesController {
  constructor(private readonly nodes: NodesService) {}

  @Get()
  @Requires('admin:read')
  @ApiOperation({
    summary: 'List the nodes',
    description: 'The API nodes, the servers that keep the entries, and how the Redis Cluster is if there is one.',
  })
  @ApiOkResponse({ standardSchema: nodeListSchema, example: examples.nodeList })
  @ApiErrors('CACHE_UNAVAILABLE')
  listNodes(): Promise<NodeList> {
    return this.nodes.list();
  }

  @Get(':id')
  @Requires('admin:read')
  @ApiOperation({
    summary: 'Read a node',
    description: 'An API node or a server that keeps entries, by the id that the list shows.',
  })
  @ApiOkResponse({ standardSchema: nodeSchema, example: examples.storageNode })
  @ApiErrors('RESOURCE_NOT_FOUND', 'CACHE_UNAVAILABLE')
  readNode(@Param('id') id: string): Promise<Node> {
    return this.nodes.read(id);
  }

  @Post()
  @Requires('admin:write')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Add a node to the Redis Cluster',
    description:
      'The node must run empty with `cluster-enabled yes`, and take the user and password of the others. It becomes a replica, or a master to which its share of the slots is moved while reads and writes go on. That is a job, of which there is one at a time; `Location` says where it is.',
  })
  @ApiAcceptedResponse({ standardSchema: nodeJobSchema, example: examples.job, headers: LOCATION })
  @ApiErrors('INVALID_REQUEST', 'CACHE_KEY_CONFLICT', 'CACHE_UNAVAILABLE')
  async addNode(
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: addNodeRequestSchema }) body: AddNodeRequest,
  ): Promise<NodeJob> {
    refuseTenants(caller(request));
    const job = await this.nodes.add(body, actor(request));
    void reply.header('Location', jobLocation(job));
    return job;
  }

  @Delete(':id')
  @Requires('admin:write')
  @HttpCode(202)
  @ApiOperation({
    summary: 'Take a node out of the Redis Cluster',
    description:
      'Its slots are moved to the other masters while reads and writes go on, its replicas get other masters, and then all nodes forget it. A node that is down is forgotten, once a replica has its slots. That is a job, of which there is one at a time; `Location` says where it is.',
  })
  @ApiAcceptedResponse({ standardSchema: nodeJobSchema, example: examples.removal, headers: LOCATION })
  @ApiErrors('RESOURCE_NOT_FOUND', 'CACHE_KEY_CONFLICT', 'CACHE_UNAVAILABLE')
  async removeNode(
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Param('id') id: string,
  ): Promise<NodeJob> {
    refuseTenants(caller(request));
    const job = await this.nodes.remove(id, actor(request));
    void reply.header('Location', jobLocation(job));
    return job;
  }
}
