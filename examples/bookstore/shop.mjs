import fastify from 'fastify';
import { Pool } from 'pg';

const CACHE_TIMEOUT_MS = 5000;
/** No key of the source, whose prefix is `book:`: the shop makes this entry itself. */
const LIST_KEY = 'books:first';
/** As many as an entry can have tags. */
const LIST_LENGTH = 32;
/** Bounds for how long the list may show a price that somebody has changed without telling the cache. */
const LIST_TTL_SECONDS = 60;

const idSchema = {
  type: 'object',
  properties: { id: { type: 'integer', minimum: 1, maximum: 2_147_483_647 } },
};
const priceSchema = {
  type: 'object',
  required: ['price'],
  additionalProperties: false,
  properties: { price: { type: 'number', minimum: 0, maximum: 999_999.99 } },
};

/**
 * @typedef {{ id: number, title: string, price: number }} Book
 *
 * @typedef {object} CacheAddress
 * @property {string} url origin of the service, without a slash at the end
 * @property {string} apiKey with `cache:read` and `cache:write`
 *
 * @typedef {object} CacheAnswer
 * @property {boolean} isFound
 * @property {unknown} value of the entry, where one was asked for
 * @property {Record<string, string>} headers that say which layer the answer is from
 */

/** The price may have been changed although the caller is told of a failure: a PUT is repeated, and tells the cache again. */
class CacheFailed extends Error {
  statusCode = 502;
}

/**
 * The shop. It asks the cache first for everything that it shows, in two ways:
 *
 * - A book is read through: the cache has the table `bookstore.books` as its source, and watches it.
 * - The list is cache-aside: the shop reads the table, and stores what it found with a tag for each book in it.
 *
 * @param {{ databaseUrl: string, cache: CacheAddress }} options
 * @returns {import('fastify').FastifyInstance} not listening yet
 */
export function createShop({ databaseUrl, cache }) {
  const shop = fastify();
  const database = new Pool({ connectionString: databaseUrl });
  // Of a connection that breaks while nobody uses it. The next query gets another one.
  database.on('error', (error) => shop.log.warn(error));
  shop.addHook('onClose', () => database.end());

  shop.get('/books/:id', { schema: { params: idSchema } }, async (request, reply) => {
    const { id } = /** @type {{ id: number }} */ (request.params);
    const cached = await askCache(cache, 'GET', entryPath(keyOf(id)));
    reply.headers(cached.headers);
    return cached.isFound ? cached.value : reply.code(404).send({ error: `There is no book ${id}` });
  });

  shop.get('/books', async (_request, reply) => {
    const cached = await askCache(cache, 'GET', entryPath(LIST_KEY));
    reply.headers(cached.headers);
    if (cached.isFound) return cached.value;

    const books = await readBooks(database);
    const options = { ttl: LIST_TTL_SECONDS, tags: books.map(({ id }) => tagOf(id)) };
    await askCache(cache, 'PUT', entryPath(LIST_KEY), { value: books, options });
    return books;
  });

  shop.put('/books/:id/price', { schema: { params: idSchema, body: priceSchema } }, async (request, reply) => {
    const { id } = /** @type {{ id: number }} */ (request.params);
    const { price } = /** @type {{ price: number }} */ (request.body);
    const book = await updatePrice(database, id, price);
    if (!book) return reply.code(404).send({ error: `There is no book ${id}` });
    // After the database, or a read in between would put the old price back. The watch would drop the book as well, but only
    // soon: whoever has the answer to this has to see the new price at once.
    await askCache(cache, 'POST', '/invalidate', { keys: [keyOf(id)], tags: [tagOf(id)] });
    return book;
  });

  return shop;
}

/** @param {number} id of a row; the source's prefix goes before it */
const keyOf = (id) => `book:${id}`;
/** @param {number} id of a book; whatever shows that book carries it */
const tagOf = (id) => `book:${id}`;
/** @param {string} key */
const entryPath = (key) => `/${encodeURIComponent(key)}`;

/** @param {Pool} database @returns {Promise<Book[]>} */
async function readBooks(database) {
  // As JSON, which is how the cache reads the rows: prices are numbers with all of their digits.
  const sql = 'SELECT row_to_json(books) AS book FROM bookstore.books ORDER BY id LIMIT $1';
  const { rows } = await database.query(sql, [LIST_LENGTH]);
  return rows.map(({ book }) => book);
}

/** @param {Pool} database @param {number} id @param {number} price @returns {Promise<Book | undefined>} */
async function updatePrice(database, id, price) {
  const sql = 'UPDATE bookstore.books SET price = $2 WHERE id = $1 RETURNING row_to_json(books) AS book';
  const { rows } = await database.query(sql, [id, price]);
  return rows[0]?.book;
}

/**
 * @param {CacheAddress} cache
 * @param {'GET' | 'PUT' | 'POST'} method
 * @param {string} path below `/v1/cache`
 * @param {object} [body]
 * @returns {Promise<CacheAnswer>}
 * @throws {CacheFailed}
 */
async function askCache({ url, apiKey }, method, path, body) {
  /** @type {Response} */
  let response;
  /** @type {{ value?: unknown }} */
  let answer;
  try {
    response = await fetch(`${url}/v1/cache${path}`, {
      method,
      headers: { 'X-API-Key': apiKey, ...(body && { 'Content-Type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(CACHE_TIMEOUT_MS),
    });
    answer = await response.json();
  } catch (cause) {
    throw new CacheFailed('The cache does not answer', { cause });
  }
  if (!response.ok && response.status !== 404) {
    throw new CacheFailed(`The cache answered ${response.status}`, { cause: answer });
  }
  const headers = ['x-cache-layer', 'x-cache-status'].flatMap((name) => {
    const value = response.headers.get(name);
    return value === null ? [] : [[name, value]];
  });
  return { isFound: response.ok, value: answer.value, headers: Object.fromEntries(headers) };
}
