import { type ApiError, DependencyUnavailable, InvalidRequest } from '../http/api-error.js';

/** Of Postgres: connection lost, shutting down, starting up, too many connections. Of Node: no connection. */
const DOWN_CODES = /^(08|57P0|53300|ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENOTFOUND|EAI_AGAIN)/;
/** What `pg` says without a code. */
const DOWN_TEXTS =
  /connection terminated|query read timeout|timeout exceeded when trying to connect|connection error|not queryable/i;
/** A character that Postgres cannot keep: NUL, or half of a surrogate pair. */
const UNSTORABLE_CODES = /^22(021|P05|P02)$/;

/** What the caller gets to see of a failed query. Undefined: the failure is of another kind. */
export function databaseError(error: unknown): ApiError | undefined {
  const { driverError = error } = error as { driverError?: unknown };
  const { code = '', message = '' } = driverError as { code?: unknown; message?: string };
  const cause = error;
  if (DOWN_CODES.test(String(code)) || DOWN_TEXTS.test(message))
    return new DependencyUnavailable('database', { cause });
  if (!UNSTORABLE_CODES.test(String(code))) return undefined;
  return new InvalidRequest([{ path: '', reason: 'a text holds a character that cannot be stored' }], { cause });
}
