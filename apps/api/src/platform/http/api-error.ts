import { ERROR_CODES, type ErrorCode } from '@cache-system/contracts';

export type ErrorDetails = Readonly<Record<string, unknown>>;

interface ApiErrorOptions extends ErrorOptions {
  /** The public text, where it says more than the code's own. */
  readonly message?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What the caller gets to see of a failure: a code, a text and details. The cause stays inside and goes to the log. */
export class ApiError extends Error {
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    readonly code: ErrorCode,
    readonly details: ErrorDetails = {},
    { message, headers = {}, ...options }: ApiErrorOptions = {},
  ) {
    super(message ?? ERROR_CODES[code].message, options);
    this.headers = headers;
  }

  get status(): number {
    return ERROR_CODES[this.code].status;
  }
}

/** One thing that is wrong with a request: where, and which rule it breaks. */
export interface Violation {
  readonly path: string;
  readonly reason: string;
}

export class InvalidRequest extends ApiError {
  constructor(errors: readonly Violation[], options?: ApiErrorOptions) {
    super('INVALID_REQUEST', { errors }, options);
  }
}

/** The response names what is spoken in the header that RFC 9110, section 15.5.16, has for it. */
export class UnsupportedMediaType extends ApiError {
  constructor(header: 'Content-Type' | 'Content-Encoding', supported: readonly string[], options?: ApiErrorOptions) {
    const answerHeader = header === 'Content-Type' ? 'Accept' : 'Accept-Encoding';
    const headers = { [answerHeader]: supported.join(', ') };
    super('UNSUPPORTED_MEDIA_TYPE', { header, supported }, { ...options, headers });
  }
}

export class AuthenticationFailed extends ApiError {
  constructor(reason: string, options?: ApiErrorOptions) {
    super('AUTHENTICATION_FAILED', { reason }, { ...options, headers: { 'WWW-Authenticate': 'Bearer' } });
  }
}

export class InsufficientPermissions extends ApiError {
  constructor(details: ErrorDetails) {
    super('INSUFFICIENT_PERMISSIONS', details);
  }
}

export class ResourceNotFound extends ApiError {
  constructor(resource: string, id: string) {
    super('RESOURCE_NOT_FOUND', { resource, id });
  }
}

/** Something that the request cannot be answered without is out of order. */
export class DependencyUnavailable extends ApiError {
  constructor(dependency: string, options?: ErrorOptions) {
    super('SERVICE_OVERLOADED', { dependency }, { ...options, headers: { 'Retry-After': '1' } });
  }
}
