import {
  bulkDeleteRequestSchema,
  bulkDeleteResponseSchema,
  bulkGetRequestSchema,
  bulkGetResponseSchema,
  bulkSetRequestSchema,
  bulkSetResponseSchema,
  cacheEventSchema,
  deleteManyQuerySchema,
  deleteManyResponseSchema,
  deleteQuerySchema,
  deletionJobSchema,
  eventsQuerySchema,
  incrementRequestSchema,
  incrementResponseSchema,
  invalidateRequestSchema,
  invalidateResponseSchema,
  listQuerySchema,
  listResponseSchema,
  patchQuerySchema,
  patchRequestSchema,
  readQuerySchema,
  readResponseSchema,
  touchRequestSchema,
  touchResponseSchema,
  writeQuerySchema,
  writeRequestSchema,
  writeResponseSchema,
} from '@cache-system/contracts';
import {
  applyDecorators,
  Controller,
  Delete,
  Get,
  Head,
  HttpCode,
  Patch,
  Post,
  Put,
  Req,
  Res,
  UseGuards,
} from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import {
  ApiConsumes,
  ApiCreatedResponse,
  ApiHeader,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiResponse,
  ApiTags,
} from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Requires } from '../auth/access.js';
import { RequiresFeature } from '../auth/feature.js';
import { ApiErrors, ApiEventStream, ApiJsonBody, ApiQueries } from '../platform/http/openapi.js';
import { InflateBody } from '../platform/http/request-body.js';
import { CacheBulk } from './cache-bulk.js';
import { CacheCollections } from './cache-collections.js';
import { CacheEvents } from './cache-events.js';
import { CacheReads } from './cache-reads.js';
import { CacheWrites } from './cache-writes.js';
import { examples } from './examples.js';

const Namespace = () =>
  ApiHeader({
    name: 'X-Cache-Namespace',
    required: false,
    description: 'For users: the namespace; `default` if left out',
  });
const Key = () =>
  applyDecorators(
    ApiParam({ name: 'key', description: '1 to 512 bytes of UTF-8, percent-encoded', example: 'user:12345' }),
    Namespace(),
  );
const Preconditions = () =>
  applyDecorators(
    ApiHeader({ name: 'If-Match', required: false, description: 'Only if the entry has one of these ETags' }),
    ApiHeader({ name: 'If-None-Match', required: false, description: '`*`: only if there is no entry' }),
  );
const READ_ERRORS = [
  'INVALID_KEY_FORMAT',
  'INVALID_REQUEST',
  'AUTHENTICATION_FAILED',
  'INSUFFICIENT_PERMISSIONS',
  'NOT_ACCEPTABLE',
  'RATE_LIMIT_EXCEEDED',
  'CACHE_UNAVAILABLE',
  'CACHE_TIMEOUT',
] as const;
const WRITE_ERRORS = [
  ...READ_ERRORS,
  'CACHE_KEY_CONFLICT',
  'PRECONDITION_FAILED',
  'PAYLOAD_TOO_LARGE',
  'UNSUPPORTED_MEDIA_TYPE',
  'STORAGE_FULL',
] as const;

const PREFER_ASYNC = {
  name: 'Prefer',
  required: false,
  description: '`respond-async`: what is not done at once is answered with 202 and a job (RFC 7240)',
};

@ApiTags('Cache')
@UseGuards(InflateBody)
@Controller('cache')
export class CacheController {
  constructor(
    private readonly reads: CacheReads,
    private readonly writes: CacheWrites,
    private readonly collections: CacheCollections,
    private readonly bulk: CacheBulk,
    private readonly events: CacheEvents,
  ) {}

  @Get()
  @Requires('cache:read')
  @Namespace()
  @ApiQueries(listQuerySchema)
  @ApiOperation({
    summary: 'List keys',
    description:
      'Keys with their metadata, page by page, in no particular order: each entry that is there all the while comes at least once. `pattern`, `prefix` and `tag` all have to fit.',
  })
  @ApiOkResponse({ standardSchema: listResponseSchema, example: examples.list })
  @ApiErrors(...READ_ERRORS)
  listEntries(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.collections.list(request, reply);
  }

  @Delete()
  @Requires('cache:write')
  @RouteConfig({ rawBody: true })
  @Namespace()
  @ApiQueries(deleteManyQuerySchema)
  @ApiOperation({
    summary: 'Delete entries by pattern or tag',
    description:
      'Entries with a tag are gone at once, however many there are; clearing them away, as deleting by pattern, goes page by page. What takes longer than half a second is answered with 202 and a job.',
  })
  @ApiHeader(PREFER_ASYNC)
  @ApiOkResponse({ standardSchema: deleteManyResponseSchema, example: examples.deletedMany })
  @ApiResponse({
    status: 202,
    description: 'It goes on: `job` says how far it is',
    standardSchema: deleteManyResponseSchema,
    example: examples.deletingMany,
  })
  @ApiErrors(...READ_ERRORS)
  deleteEntries(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.collections.removeMany(request, reply);
  }

  @Get('jobs/:id')
  @Requires('cache:read')
  @Namespace()
  @ApiParam({ name: 'id', description: 'As the answer with 202 gave it', example: examples.job.id })
  @ApiOperation({
    summary: 'Ask how far a deletion of many entries is',
    description: 'Of a deletion that was answered with 202. It can be asked for until a day after its end.',
  })
  @ApiOkResponse({ standardSchema: deletionJobSchema, example: examples.job })
  @ApiErrors(...READ_ERRORS, 'RESOURCE_NOT_FOUND')
  readDeletionJob(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.collections.job(request, reply);
  }

  @Get('events')
  @Requires('cache:read')
  @Namespace()
  @ApiQueries(eventsQuerySchema)
  @ApiHeader({
    name: 'Last-Event-ID',
    required: false,
    description: 'The last id that came, on whichever node: what has happened since is sent first',
  })
  @ApiOperation({
    summary: 'Watch changes',
    description:
      'Server-sent events `set`, `delete`, `expire` and `invalidate` of the keys that the caller may read, on whichever node they change; no values. Each comes at least once. `reset`: changes may be missing, so that what the reader keeps is to be checked. The last event is `overflow` where the reader is too slow, else `end`.',
  })
  @ApiEventStream(cacheEventSchema, examples.events)
  @ApiErrors('INVALID_REQUEST', 'RATE_LIMIT_EXCEEDED', 'SERVICE_OVERLOADED')
  watchEntries(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.events.stream(request, reply);
  }

  @Post('invalidate')
  @HttpCode(200)
  @Requires('cache:write')
  @RouteConfig({ rawBody: true })
  @Namespace()
  @ApiJsonBody(invalidateRequestSchema, examples.invalidate)
  @ApiOperation({
    summary: 'Invalidate by keys, tags, pattern or prefix',
    description: 'To invalidate a tag takes the same time whatever the number of entries with it.',
  })
  @ApiHeader(PREFER_ASYNC)
  @ApiOkResponse({ standardSchema: invalidateResponseSchema, example: examples.invalidated })
  @ApiErrors(...READ_ERRORS)
  invalidateEntries(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.collections.invalidate(request, reply);
  }

  @Post('bulk/get')
  @HttpCode(200)
  @Requires('cache:read')
  @RequiresFeature('bulk')
  @RouteConfig({ rawBody: true })
  @Namespace()
  @ApiJsonBody(bulkGetRequestSchema, examples.bulkGet)
  @ApiOperation({ summary: 'Retrieve up to 1,000 entries', description: 'One result for each key.' })
  @ApiOkResponse({ standardSchema: bulkGetResponseSchema, example: examples.bulkGot })
  @ApiErrors(...READ_ERRORS)
  bulkGet(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.bulk.get(request, reply);
  }

  @Post('bulk/set')
  @HttpCode(200)
  @Requires('cache:write')
  @RequiresFeature('bulk')
  @RouteConfig({ rawBody: true, bulkBody: true })
  @Namespace()
  @ApiJsonBody(bulkSetRequestSchema, examples.bulkSet)
  @ApiOperation({
    summary: 'Store up to 1,000 entries',
    description: 'One result for each key; of a key that comes twice the last value counts.',
  })
  @ApiOkResponse({ standardSchema: bulkSetResponseSchema, example: examples.bulkStored })
  @ApiErrors(...READ_ERRORS, 'PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE')
  bulkSet(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.bulk.set(request, reply);
  }

  @Post('bulk/delete')
  @HttpCode(200)
  @Requires('cache:write')
  @RequiresFeature('bulk')
  @RouteConfig({ rawBody: true })
  @Namespace()
  @ApiJsonBody(bulkDeleteRequestSchema, examples.bulkDelete)
  @ApiOperation({ summary: 'Remove up to 1,000 entries', description: 'One result for each key.' })
  @ApiOkResponse({ standardSchema: bulkDeleteResponseSchema, example: examples.bulkDeleted })
  @ApiErrors(...READ_ERRORS)
  bulkDelete(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.bulk.remove(request, reply);
  }

  // Before GET, for which Fastify would otherwise add a HEAD route of its own.
  @Head(':key')
  @Requires('cache:read')
  @Key()
  @ApiOperation({ summary: 'Ask for the headers of an entry', description: 'As GET, without the body.' })
  @ApiOkResponse({ description: 'The entry is there' })
  @ApiErrors(...READ_ERRORS, 'CACHE_KEY_NOT_FOUND', 'PRECONDITION_FAILED')
  headEntry(@Req() request: FastifyRequest, @Res() reply: FastifyReply): void | Promise<void> {
    return this.reads.answer(request, reply);
  }

  @Get(':key')
  @Requires('cache:read')
  @Key()
  @ApiQueries(readQuerySchema)
  @ApiHeader({
    name: 'Prefer',
    required: false,
    description: 'With `lease`: `wait=<seconds>` waits for somebody else to fill the key (RFC 7240)',
  })
  @ApiOperation({
    summary: 'Retrieve an entry',
    description:
      'The value as it was stored, byte for byte. `If-None-Match` gives 304. With `explain=true` the answer says why it is what it is; a 404, 500, 502 or 504 has the same as `details.explain`.',
  })
  @ApiOkResponse({
    standardSchema: readResponseSchema,
    examples: {
      plain: { summary: 'with `include_metadata=true`', value: examples.read },
      explained: { summary: 'with `explain=true`', value: examples.explained },
    },
  })
  @ApiResponse({ status: 304, description: 'The entry still has the ETag given' })
  @ApiErrors(...READ_ERRORS, 'CACHE_KEY_NOT_FOUND', 'PRECONDITION_FAILED')
  readEntry(@Req() request: FastifyRequest, @Res() reply: FastifyReply): void | Promise<void> {
    return this.reads.answer(request, reply);
  }

  @Put(':key')
  @Requires('cache:write')
  @RouteConfig({ rawBody: true })
  @Key()
  @ApiHeader({
    name: 'X-Cache-Lease',
    required: false,
    description: 'The lease that a read gave: 409 where something has happened to the key since',
  })
  @Preconditions()
  @ApiQueries(writeQuerySchema)
  @ApiJsonBody(writeRequestSchema, examples.write)
  @ApiOperation({
    summary: 'Store an entry',
    description: 'Creates the entry or replaces it. The value is kept byte for byte.',
  })
  @ApiCreatedResponse({ standardSchema: writeResponseSchema, example: examples.created })
  @ApiOkResponse({ standardSchema: writeResponseSchema, example: examples.updated })
  @ApiErrors(...WRITE_ERRORS)
  storeEntry(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.writes.put(request, reply);
  }

  @Post(':key')
  @Requires('cache:write')
  @RouteConfig({ rawBody: true })
  @Key()
  @Preconditions()
  @ApiQueries(writeQuerySchema)
  @ApiJsonBody(writeRequestSchema, examples.write)
  @ApiOperation({ summary: 'Replace an existing entry', description: 'As PUT, but 404 where there is no entry.' })
  @ApiOkResponse({ standardSchema: writeResponseSchema, example: examples.updated })
  @ApiErrors(...WRITE_ERRORS, 'CACHE_KEY_NOT_FOUND')
  replaceEntry(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.writes.replace(request, reply);
  }

  @Patch(':key')
  @Requires('cache:write')
  @RouteConfig({ rawBody: true })
  @Key()
  @Preconditions()
  @ApiQueries(patchQuerySchema)
  @ApiConsumes('application/json', 'application/merge-patch+json', 'application/json-patch+json')
  @ApiJsonBody(patchRequestSchema, examples.patch)
  @ApiOperation({
    summary: 'Change part of an entry',
    description:
      'Merges the value into the stored one: `deep`, `shallow` or `replace`. With `application/merge-patch+json` the body is an RFC 7396 patch, with `application/json-patch+json` an RFC 6902 one. Atomic: of concurrent patches none is lost. The expiry stays unless a ttl is given.',
  })
  @ApiOkResponse({ standardSchema: writeResponseSchema, example: examples.updated })
  @ApiErrors(...WRITE_ERRORS, 'CACHE_KEY_NOT_FOUND', 'MERGE_NOT_POSSIBLE')
  patchEntry(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.writes.patch(request, reply);
  }

  @Delete(':key')
  @Requires('cache:write')
  @RouteConfig({ rawBody: true })
  @Key()
  @Preconditions()
  @ApiQueries(deleteQuerySchema)
  @ApiOperation({ summary: 'Remove an entry', description: '`X-Deleted-From` names the layers that held it.' })
  @ApiNoContentResponse({ description: 'The entry is gone' })
  @ApiErrors(...READ_ERRORS, 'CACHE_KEY_NOT_FOUND', 'PRECONDITION_FAILED')
  deleteEntry(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.writes.remove(request, reply);
  }

  @Post(':key/touch')
  @Requires('cache:write')
  @RouteConfig({ rawBody: true })
  @Key()
  @Preconditions()
  @ApiJsonBody(touchRequestSchema, examples.touch)
  @ApiOperation({ summary: 'Give an entry a new ttl', description: 'The value and the ETag stay as they are.' })
  @ApiOkResponse({ standardSchema: touchResponseSchema, example: examples.touched })
  @ApiErrors(...READ_ERRORS, 'CACHE_KEY_NOT_FOUND', 'PRECONDITION_FAILED')
  touchEntry(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.writes.touch(request, reply);
  }

  @Post(':key/increment')
  @Requires('cache:write')
  @RouteConfig({ rawBody: true })
  @Key()
  @Preconditions()
  @ApiJsonBody(incrementRequestSchema, examples.increment, false)
  @ApiOperation({
    summary: 'Add to a number',
    description: 'Atomic and exact, also beyond 2^53. A missing entry starts from `initial`.',
  })
  @ApiOkResponse({ standardSchema: incrementResponseSchema, example: examples.incremented })
  @ApiCreatedResponse({
    standardSchema: incrementResponseSchema,
    example: { ...examples.incremented, status: 'created' },
  })
  @ApiErrors(...WRITE_ERRORS, 'MERGE_NOT_POSSIBLE')
  incrementEntry(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.writes.increment(request, reply);
  }
}
