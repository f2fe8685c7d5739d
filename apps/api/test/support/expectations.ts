import { type ErrorCode, errorSchema, writeResponseSchema } from '@cache-system/contracts';
import type { z } from 'zod';
import type { Answer } from './client.js';

/** An error as every error is: its status and code, the envelope and nothing else, no inside of ours. Gives the details. */
export function expectError(answer: Answer, status: number, code: ErrorCode): Record<string, unknown> {
  expect({ status: answer.status, json: answer.json }).toMatchObject({ status, json: { error: { code } } });
  const { error } = expectExactly(errorSchema, answer.json);
  expect(error.message).not.toBe('');
  expect(error.metadata.request_id).toBe(answer.headers['x-request-id']);
  expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
  expect(answer.headers['x-response-time']).toMatch(/^\d+ms$/);
  expect(answer.text).not.toMatch(/node_modules|\.[jt]s:\d+|\\n {4}at /);
  return error.details;
}

/** A 400 that names the field and the rule. */
export function expectViolation(answer: Answer, path: string, reason: RegExp): void {
  const { errors } = expectError(answer, 400, 'INVALID_REQUEST');
  expect(errors).toContainEqual({ path, reason: expect.stringMatching(reason) as string });
}

/** A 400 about the key that names the rule. */
export function expectBadKey(answer: Answer, rule: RegExp): void {
  const details = expectError(answer, 400, 'INVALID_KEY_FORMAT');
  expect(details).toEqual({ rule: expect.stringMatching(rule) as string });
}

/** The answer to a write that went well. */
export function expectWritten(answer: Answer, status: 'created' | 'updated'): z.infer<typeof writeResponseSchema> {
  expect({ status: answer.status, json: answer.json }).toMatchObject({
    status: status === 'created' ? 201 : 200,
    json: { status },
  });
  const written = expectExactly(writeResponseSchema, answer.json);
  expect(answer.headers['etag']).toBe(`"${written.metadata.version}"`);
  return written;
}

/** Parses under a schema and refuses members that it does not know. */
export function expectExactly<T>(schema: z.ZodType<T>, json: unknown): T {
  const parsed = schema.parse(json);
  expect(json).toEqual(parsed);
  return parsed;
}
