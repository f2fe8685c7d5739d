import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { z } from 'zod';
import { InvalidRequest, type Violation } from './api-error.js';

/** @throws InvalidRequest with everything that is wrong */
export function validate<T>(schema: z.ZodType<T>, input: unknown): T {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  throw new InvalidRequest(violations(parsed.error.issues));
}

/** What a schema found wrong, with the path to each place. */
export function violations(issues: readonly StandardSchemaV1.Issue[]): Violation[] {
  return issues.map(({ path = [], message, ...rest }) => ({
    path: path.map((step) => String(typeof step === 'object' ? step.key : step)).join('.'),
    reason: 'keys' in rest && Array.isArray(rest.keys) ? `unknown: ${rest.keys.join(', ')}` : message,
  }));
}
