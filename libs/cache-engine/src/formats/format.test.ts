import { type BodyFormat, formatOfMediaType, MEDIA_TYPES, negotiateFormat } from './format.js';

test.each<[string, BodyFormat | undefined]>([
  ['application/json', 'json'],
  ['Application/JSON; charset=utf-8', 'json'],
  ['application/msgpack', 'msgpack'],
  ['application/x-msgpack', 'msgpack'],
  ['application/vnd.msgpack ; v=5', 'msgpack'],
  ['application/protobuf', 'protobuf'],
  ['application/x-protobuf', 'protobuf'],
  ['application/bson', 'bson'],
  ['application/merge-patch+json', undefined],
  ['text/json', undefined],
  ['__proto__', undefined],
  ['', undefined],
])('%j is the format %s', (contentType, format) => {
  expect(formatOfMediaType(contentType)).toBe(format);
});

test('the media type of a format names it', () => {
  for (const [format, type] of Object.entries(MEDIA_TYPES)) expect(formatOfMediaType(type)).toBe(format);
});

test.each<[string | undefined, BodyFormat | undefined]>([
  [undefined, 'json'],
  ['', 'json'],
  ['*/*', 'json'],
  ['application/*;q=0.1', 'json'],
  ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'json'],
  ['application/msgpack', 'msgpack'],
  ['application/msgpack, application/json', 'msgpack'],
  ['application/json;q=0.5, application/bson;q=0.8', 'bson'],
  ['application/json;q=0.5, Application/X-Protobuf ; Q=0.8', 'protobuf'],
  ['application/msgpack, */*', 'msgpack'],
  ['application/msgpack;q=0.5, */*', 'json'],
  ['application/json;q=0, */*', 'msgpack'],
  ['application/json;q=0.1, */*;q=0.9', 'msgpack'],
  ['application/json;q=0', undefined],
  ['application/json;q=0.000', undefined],
  ['text/html, image/*', undefined],
  ['application/json;q=nonsense, application/bson;q=0.01', 'bson'],
  ['application/json;q=2', 'json'],
  [','.repeat(10_000), undefined],
])('Accept %j is answered in %s', (accept, format) => {
  expect(negotiateFormat(accept)).toBe(format);
});
