import { eventually } from '../../tools/harness/eventually.mjs';
import { setStage } from './stage.mjs';

const CALL_WIDTH = 58;

/**
 * @typedef {import('./shop.mjs').Book} Book
 *
 * What a caller of the shop sees of `REST APIs`, the book with the id 2.
 *
 * @typedef {object} Seen
 * @property {number} price
 * @property {string} from X-Cache-Layer and X-Cache-Status, for example `L1 HIT`
 */

/** @param {import('./stage.mjs').Stage} stage */
async function tell({ sql, cache, shopUrl }) {
  const seeBook = () => see(`${shopUrl}/books/2`);
  const seeList = () => see(`${shopUrl}/books`);
  /** The watch tells of a change at least once: the book may be dropped again after it was read. */
  const seeOnceCached = async () => {
    let seen = await seeBook();
    await eventually('the book is cached', async () => (seen = await seeBook()).from === 'L1 HIT');
    return seen;
  };
  console.log(`The shop is ${shopUrl}, its cache ${cache.url}, its books are in Postgres.`);

  chapter('Cached: asked again, Postgres is left alone');
  report('GET /books/2', await seeBook(), { price: 39.99, from: 'SOURCE MISS' });
  report('GET /books/2', await seeBook(), { price: 39.99, from: 'L1 HIT' });
  report('GET /books', await seeList(), { price: 39.99, from: 'MISS' });
  report('GET /books', await seeList(), { price: 39.99, from: 'L1 HIT' });

  chapter('Invalidated by the shop, which knows what it has changed: the key and the tag book:2');
  await call('PUT', `${shopUrl}/books/2/price`, { price: 44.99 });
  line('PUT /books/2/price', '39.99 → 44.99');
  report('GET /books/2', await seeBook(), { price: 44.99, from: 'SOURCE MISS' });
  report('GET /books', await seeList(), { price: 44.99, from: 'MISS' });
  await seeOnceCached();
  report('GET /books', await seeList(), { price: 44.99, from: 'L1 HIT' });

  chapter('Invalidated by the watched table, whoever changes it: here SQL that the shop knows nothing of');
  const update = 'UPDATE bookstore.books SET price = 34.99 WHERE id = 2';
  await sql.query(update);
  const startedAtMs = performance.now();
  await eventually('the new price is seen', async () => (await seeBook()).price === 34.99);
  line(update, `44.99 → 34.99, seen after ${Math.round(performance.now() - startedAtMs)} ms`);
  report('GET /books/2', await seeOnceCached(), { price: 34.99, from: 'L1 HIT' });
  report('GET /books', await seeList(), { price: 44.99, from: 'L1 HIT' });
  console.log(
    '  The list is no row of a table: it is old for up to its 60 seconds, or until somebody tells the cache.',
  );

  chapter('Invalidated by whoever changes data behind the back of the shop, and tells the cache');
  await call('POST', `${cache.url}/v1/cache/invalidate`, { tags: ['book:2'] }, cache.apiKey);
  line('POST /v1/cache/invalidate', '{"tags":["book:2"]}');
  report('GET /books', await seeList(), { price: 34.99, from: 'MISS' });
  report('GET /books', await seeList(), { price: 34.99, from: 'L1 HIT' });
}

/** @param {string} url of a book of the shop, or of its list @returns {Promise<Seen>} */
async function see(url) {
  const { headers, body } = await call('GET', url);
  const book = [body].flat().find(({ id }) => id === 2);
  const from = [headers.get('x-cache-layer'), headers.get('x-cache-status')].filter(Boolean).join(' ');
  return { price: book?.price ?? NaN, from };
}

/**
 * @param {'GET' | 'PUT' | 'POST'} method
 * @param {string} url
 * @param {object} [body]
 * @param {string} [apiKey]
 * @returns {Promise<{ headers: Headers, body: Book | Book[] }>}
 */
async function call(method, url, body, apiKey) {
  const headers = { ...(body && { 'Content-Type': 'application/json' }), ...(apiKey && { 'X-API-Key': apiKey }) };
  const response = await fetch(url, { method, headers, ...(body && { body: JSON.stringify(body) }) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${url} answered ${response.status}: ${text}`);
  return { headers: response.headers, body: JSON.parse(text) };
}

/** @param {string} what @param {Seen} seen @param {Seen} expected */
function report(what, { price, from }, expected) {
  line(what, `${price}  ${from}`);
  if (price !== expected.price || from !== expected.from) {
    throw new Error(`${what} should have been ${expected.price}  ${expected.from}`);
  }
}

/** @param {string} what @param {string} outcome */
function line(what, outcome) {
  console.log(`  ${what.padEnd(CALL_WIDTH)}${outcome}`);
}

/** @param {string} title */
function chapter(title) {
  console.log(`\n${title}`);
}

/** @type {(() => Promise<unknown>)[]} */
const toClose = [];
try {
  await tell(await setStage(toClose));
  console.log('\nIt went as expected: each price, and each layer that it came from.');
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  for (const close of toClose.reverse()) await close();
}
