/** What a client should do after an error. */
type Retry = 'never' | 'backoff' | 'after-delay';

/** Every error code of the API with its HTTP status, its default public text and whether a retry can help. */
export const ERROR_CODES = {
  INVALID_REQUEST: { status: 400, message: 'The request is malformed', retry: 'never' },
  INVALID_KEY_FORMAT: { status: 400, message: 'The cache key is not well-formed', retry: 'never' },
  AUTHENTICATION_FAILED: { status: 401, message: 'Valid credentials are required', retry: 'never' },
  INSUFFICIENT_PERMISSIONS: { status: 403, message: 'These credentials do not permit the operation', retry: 'never' },
  CACHE_KEY_NOT_FOUND: { status: 404, message: 'The requested cache key does not exist', retry: 'never' },
  RESOURCE_NOT_FOUND: { status: 404, message: 'The requested resource does not exist', retry: 'never' },
  ROUTE_NOT_FOUND: { status: 404, message: 'There is no such route', retry: 'never' },
  METHOD_NOT_ALLOWED: { status: 405, message: 'This path does not take this method', retry: 'never' },
  NOT_ACCEPTABLE: { status: 406, message: 'None of the formats asked for is supported', retry: 'never' },
  REQUEST_TIMEOUT: { status: 408, message: 'The request did not arrive in time', retry: 'backoff' },
  CACHE_KEY_CONFLICT: { status: 409, message: 'The entry was changed concurrently', retry: 'backoff' },
  PRECONDITION_FAILED: { status: 412, message: 'A precondition of the request does not hold', retry: 'never' },
  PAYLOAD_TOO_LARGE: { status: 413, message: 'The request exceeds the size limit', retry: 'never' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, message: 'The body is in a media type that is not supported', retry: 'never' },
  MERGE_NOT_POSSIBLE: { status: 422, message: 'The patch does not apply to the stored value', retry: 'never' },
  RATE_LIMIT_EXCEEDED: { status: 429, message: 'Request rate limit exceeded', retry: 'after-delay' },
  INTERNAL_SERVER_ERROR: { status: 500, message: 'An unexpected error occurred', retry: 'backoff' },
  CACHE_UNAVAILABLE: { status: 502, message: 'The cache backend is unreachable', retry: 'backoff' },
  SERVICE_OVERLOADED: { status: 503, message: 'The service cannot take this request right now', retry: 'backoff' },
  CACHE_TIMEOUT: { status: 504, message: 'The cache backend did not answer in time', retry: 'backoff' },
  STORAGE_FULL: { status: 507, message: 'There is no room to store the entry', retry: 'never' },
} as const satisfies Record<string, { status: number; message: string; retry: Retry }>;

export type ErrorCode = keyof typeof ERROR_CODES;
