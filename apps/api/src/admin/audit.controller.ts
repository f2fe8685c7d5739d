import { auditFiltersSchema, type AuditPage, auditPageSchema, auditQuerySchema } from '@cache-system/contracts';
import { Controller, Get, Req, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Requires } from '../auth/access.js';
import { actor, caller } from '../auth/caller.js';
import { requiredQuery } from '../platform/http/query.js';
import { ApiErrors, ApiQueries } from '../platform/http/openapi.js';
import { sendLines } from '../platform/http/line-stream.js';
import { AuditRecords } from './audit-records.js';
import { auditExamples } from './audit-examples.js';

const VISIBLE =
  'A user sees everything; an API key what keys of its namespace did, or itself where it has `key_prefixes`.';

@ApiTags('Admin')
@Controller('admin/audit')
export class AuditController {
  constructor(private readonly records: AuditRecords) {}

  @Get()
  @Requires('admin:read')
  @ApiQueries(auditQuerySchema)
  @ApiOperation({
    summary: 'Read the audit log',
    description: `Who did what, when, from where, to what: every change in auth, configuration and administration, and refusals there. ${VISIBLE}`,
  })
  @ApiOkResponse({ standardSchema: auditPageSchema, example: auditExamples.page })
  @ApiErrors('INVALID_REQUEST')
  readAuditLog(@Req() request: FastifyRequest): Promise<AuditPage> {
    return this.records.page(caller(request), requiredQuery(auditQuerySchema, request));
  }

  @Get('export')
  @Requires('admin:read')
  @ApiQueries(auditFiltersSchema)
  @ApiOperation({
    summary: 'Export the audit log',
    description: `Oldest first, a line of JSON for each entry, up to where the log ends when the export begins. One that breaks off ends with the connection and without its last chunk. ${VISIBLE}`,
  })
  @ApiOkResponse({
    description: 'NDJSON',
    content: { 'application/x-ndjson': { schema: { type: 'string' }, example: auditExamples.lines } },
  })
  @ApiErrors('INVALID_REQUEST')
  async exportAuditLog(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const filters = requiredQuery(auditFiltersSchema, request);
    await this.records.recordExport(actor(request), filters);
    await sendLines(request, reply, this.records.lines(caller(request), filters), 'audit.ndjson');
  }
}
