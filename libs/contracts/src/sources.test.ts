import { sourcesSchema } from './sources.js';

const http = (url: string, more: object = {}) => ({
  name: 'books',
  prefix: 'book:',
  type: 'http',
  http: { url, ...more },
});
const postgres = (more: object) => ({
  name: 'books',
  prefix: 'book:',
  type: 'postgres',
  postgres: { connection_env: 'BOOKS_DATABASE_URL', ...more },
});
const accepts = (...definitions: object[]) => sourcesSchema.safeParse({ definitions }).success;

test('nothing is configured by default', () =>
  expect(sourcesSchema.parse(undefined)).toEqual({ allowed_hosts: [], definitions: [] }));

test.each([
  'https://books.example/books/{key}',
  'http://books.example:8080/books/{suffix}.json?of={key}',
  'https://books.example?key={key}',
  'http://[2001:db8::1]/{key}',
])('%s is a template', (url) => expect(accepts(http(url))).toBe(true));

test.each([
  'file:///etc/passwd?{key}',
  'gopher://books.example/{key}',
  '{key}://books.example/',
  'https://{key}/',
  'https://{key}.books.example/',
  'https://books.example:{key}/',
  'https://books.example\\{key}',
  'https://user:secret@books.example/{key}',
  'https://{key}@books.example/',
  'https://books.example/books',
  'https://books.example/{id}/{key}',
  'https://books.example/{{key}}',
  'https://books.example/#{key}',
  'https://books example/{key}',
])('%s is refused as a template', (url) => expect(accepts(http(url))).toBe(false));

test.each(['Host', 'transfer-encoding', 'Idempotency-Key', 'proxy-authorization', 'a b', ''])(
  'the header %p cannot be set',
  (name) => {
    expect(accepts(http('https://books.example/{key}', { headers: { [name]: 'x' } }))).toBe(false);
    expect(accepts(http('https://books.example/{key}', { secret_headers: { [name]: 'x' } }))).toBe(false);
  },
);

test('a header cannot smuggle another one in', () =>
  expect(accepts(http('https://books.example/{key}', { headers: { x: 'a\r\nb: c' } }))).toBe(false));

test.each<[string, object, boolean]>([
  ['table and key column', { table: 'shop.books', key_column: 'isbn' }, true],
  ['a writable table', { table: 'books', key_column: 'isbn', value_column: 'book', writable: true }, true],
  ['a query', { query: 'SELECT * FROM books WHERE isbn = $1' }, true],
  ['nothing to read', {}, false],
  ['table and query', { table: 'books', key_column: 'isbn', query: 'SELECT $1' }, false],
  ['a table without key column', { table: 'books' }, false],
  ['a writable query', { query: 'SELECT $1', writable: true }, false],
  ['a writable table without value column', { table: 'books', key_column: 'isbn', writable: true }, false],
  ['a watched query', { query: 'SELECT $1', watch: true }, false],
  ['two statements', { query: 'SELECT $1; DROP TABLE books' }, false],
  ['a query without key', { query: 'SELECT 1' }, false],
])('%s', (_title, section, valid) => expect(accepts(postgres(section))).toBe(valid));

test.each(['DATABASE_URL', 'A'])('%s may name the connection', (connection_env) =>
  expect(accepts(postgres({ connection_env, query: 'SELECT $1' }))).toBe(true),
);
test.each(['postgres://x', 'path', '1A', 'A-B'])('%s may not name the connection', (connection_env) =>
  expect(accepts(postgres({ connection_env, query: 'SELECT $1' }))).toBe(false),
);

test('names are unique, and prefixes within a namespace', () => {
  const one = http('https://books.example/{key}');
  expect(accepts(one, { ...one, name: 'other', prefix: 'other:' })).toBe(true);
  expect(accepts(one, { ...one, name: 'other', namespace: 'other' })).toBe(true);
  expect(accepts(one, { ...one, name: 'other' })).toBe(false);
  expect(accepts(one, { ...one, prefix: 'other:' })).toBe(false);
});

test.each<[string, boolean]>([
  ['localhost', true],
  ['books.internal:8080', true],
  ['10.0.0.0/8', true],
  ['127.0.0.1:80', true],
  ['bücher.internal', true],
  ['::1', true],
  ['[::1]:80', true],
  ['fd00::/8', true],
  ['http://localhost', false],
  ['a b', false],
  ['10.0.0.0/', false],
  ['*', false],
  ['1.2.3.4/33', false],
  ['::/129', false],
  ['10.0.0/8', false],
  ['1.2.3.4.5', false],
  ['localhost:70000', false],
])('allowed host %s: %p', (host, valid) =>
  expect(sourcesSchema.safeParse({ allowed_hosts: [host] }).success).toBe(valid),
);
