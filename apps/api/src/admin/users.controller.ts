import {
  type ChangeUserRequest,
  changeUserRequestSchema,
  type CreateUserRequest,
  createUserRequestSchema,
  type UserList,
  userListSchema,
  type UserQuery,
  userQuerySchema,
  userSchema,
  type UserView,
  type UserWithPassword,
  userWithPasswordSchema,
} from '@cache-system/contracts';
import { Body, Controller, Get, Param, Patch, Post, Query, Req } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { Requires } from '../auth/access.js';
import { actor, caller } from '../auth/caller.js';
import { UsersService } from '../auth/users.service.js';
import { ApiErrors, ApiQueries } from '../platform/http/openapi.js';
import { examples } from './examples.js';

@ApiTags('Admin')
@Controller('admin/users')
export class UsersController {
  constructor(private readonly users: UsersService) {}

  @Post()
  @Requires('admin:write')
  @ApiOperation({
    summary: 'Create a user',
    description:
      'Nobody can grant what they lack, and users reach every namespace: an API key, which has one, creates no users.',
  })
  @ApiCreatedResponse({ standardSchema: userWithPasswordSchema, example: examples.userWithPassword })
  @ApiErrors('INVALID_REQUEST', 'CACHE_KEY_CONFLICT')
  createUser(
    @Req() request: FastifyRequest,
    @Body({ schema: createUserRequestSchema }) body: CreateUserRequest,
  ): Promise<UserWithPassword> {
    return this.users.create(caller(request), body, actor(request));
  }

  @Get()
  @Requires('admin:read')
  @ApiQueries(userQuerySchema)
  @ApiOperation({
    summary: 'List the users',
    description:
      'By page, in the order of their e-mail addresses. Not for an API key: it has one namespace, and users reach all.',
  })
  @ApiOkResponse({ standardSchema: userListSchema, example: examples.userList })
  @ApiErrors('INVALID_REQUEST')
  listUsers(@Req() request: FastifyRequest, @Query({ schema: userQuerySchema }) query: UserQuery): Promise<UserList> {
    return this.users.list(caller(request), query);
  }

  @Get(':id')
  @Requires('admin:read')
  @ApiOperation({ summary: 'Read a user', description: 'By the id that the list shows. Not for an API key.' })
  @ApiOkResponse({ standardSchema: userSchema, example: examples.user })
  @ApiErrors('RESOURCE_NOT_FOUND')
  readUser(@Req() request: FastifyRequest, @Param('id') id: string): Promise<UserView> {
    return this.users.read(caller(request), id);
  }

  @Patch(':id')
  @Requires('admin:write')
  @ApiOperation({
    summary: 'Change a user',
    description:
      'Role, whether the account is disabled, password; what is left out stays. It holds at once on this node and within a second on all. The last administrator can be neither disabled nor demoted, and nobody can change their own role.',
  })
  @ApiOkResponse({ standardSchema: userWithPasswordSchema, example: examples.user })
  @ApiErrors('INVALID_REQUEST', 'RESOURCE_NOT_FOUND', 'CACHE_KEY_CONFLICT')
  changeUser(
    @Req() request: FastifyRequest,
    @Param('id') id: string,
    @Body({ schema: changeUserRequestSchema }) body: ChangeUserRequest,
  ): Promise<UserWithPassword> {
    return this.users.change(caller(request), id, body, actor(request));
  }
}
