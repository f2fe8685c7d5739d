import { type JwkSet, jwkSetSchema } from '@cache-system/contracts';
import { Controller, Get, Header } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { ApiErrors } from '../platform/http/openapi.js';
import { Secrets } from '../platform/secrets.js';
import { publicKeySet } from '../platform/token-keys.js';
import { Public } from './access.js';
import { examples } from './examples.js';

@ApiTags('Auth')
@Controller('auth/jwks')
export class JwksController {
  constructor(private readonly secrets: Secrets) {}

  @Get()
  @Public()
  @Header('Cache-Control', 'public, max-age=300')
  @ApiOperation({
    summary: 'Public keys of access tokens',
    description:
      'The keys with which others can check the access tokens of this service (RFC 7517). None where tokens are signed with a secret.',
  })
  @ApiOkResponse({ standardSchema: jwkSetSchema, example: examples.jwkSet })
  @ApiErrors()
  keys(): JwkSet {
    return publicKeySet(this.secrets.tokenKeys);
  }
}
