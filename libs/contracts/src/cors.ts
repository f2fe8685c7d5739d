import { z } from 'zod';

/** As a browser sends it in `Origin`: scheme, host in lower case, port unless it is the scheme's own, and nothing else. */
const originSchema = z
  .string()
  .refine((text) => /^https?:[^*]*$/.test(text) && URL.canParse(text) && new URL(text).origin === text, {
    error: 'must be an origin as browsers send it, such as https://app.example.com',
  });

export const corsSchema = z
  .strictObject({
    allowed_origins: z.array(originSchema).max(100).default([]).meta({
      description:
        'Origins whose pages may call the API and read its answers; no patterns. None: browsers keep other sites out',
    }),
  })
  .prefault({});
