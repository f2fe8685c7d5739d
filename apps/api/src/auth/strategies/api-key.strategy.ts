import { Injectable } from '@nestjs/common';
import { PassportStrategy } from '@nestjs/passport';
import { HeaderAPIKeyStrategy } from 'passport-headerapikey';
import { ApiKeyAuthentication } from '../api-key-authentication.js';
import type { Principal } from '../principal.js';

export const API_KEY_HEADER = 'x-api-key';

@Injectable()
export class ApiKeyStrategy extends PassportStrategy(HeaderAPIKeyStrategy, 'api_key') {
  constructor(private readonly apiKeys: ApiKeyAuthentication) {
    super({ header: API_KEY_HEADER, prefix: '' }, false);
  }

  validate(key: string): Promise<Principal | undefined> {
    return this.apiKeys.authenticate(key);
  }
}
