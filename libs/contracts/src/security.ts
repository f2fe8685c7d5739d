import { z } from 'zod';
import { oauth2Schema } from './oauth2.js';

export const securitySchema = z
  .strictObject({
    authentication: z
      .strictObject({
        methods: z
          .array(z.enum(['api_key', 'jwt', 'oauth2']))
          .min(1)
          .default(['api_key', 'jwt']),
        session_timeout: z.number().int().min(300).max(86_400).default(3600).meta({
          description:
            'Seconds after which a session that was not refreshed ends. No token, of this service or of another issuer, counts for longer after it was issued',
        }),
        session_max_age: z.number().int().min(300).max(31_536_000).default(604_800).meta({
          description: 'Seconds after which a session ends however often it was refreshed',
        }),
        database_outage_grace: z.number().int().min(0).max(3600).default(60).meta({
          description: 'Seconds that credentials seen before go on working while the database does not answer',
        }),
        access_token_ttl: z.number().int().min(60).max(3600).default(900),
        api_key_in_query: z
          .boolean()
          .default(true)
          .meta({ description: 'Whether `?api_key=` is taken; URLs tend to end up in logs of proxies' }),
        oauth2: oauth2Schema.optional(),
      })
      .refine(({ methods, oauth2 }) => oauth2 !== undefined || !methods.includes('oauth2'), {
        path: ['oauth2'],
        message: 'is required for the method oauth2',
      })
      .prefault({}),
  })
  .prefault({});
