import { urlTemplate } from './url-template.js';

const TEMPLATE = 'https://books.example/books/{suffix}/of?key={key}';
const urlOf = (template: string, key: string) => urlTemplate(template, 'book:')(key)?.href;

test.each([
  ['book:1', 'https://books.example/books/1/of?key=book%3A1'],
  ['book:a/b', 'https://books.example/books/a%2Fb/of?key=book%3Aa%2Fb'],
  ['book:?#&=+ %', 'https://books.example/books/%3F%23%26%3D%2B%20%25/of?key=book%3A%3F%23%26%3D%2B%20%25'],
  ["book:'()*!", 'https://books.example/books/%27%28%29%2A%21/of?key=book%3A%27%28%29%2A%21'],
  ['book:\r\n', 'https://books.example/books/%0D%0A/of?key=book%3A%0D%0A'],
  ['book:%2e%2e', 'https://books.example/books/%252e%252e/of?key=book%3A%252e%252e'],
  ['book:é€😀', 'https://books.example/books/%C3%A9%E2%82%AC%F0%9F%98%80/of?key=book%3A%C3%A9%E2%82%AC%F0%9F%98%80'],
  ['book:{key}', 'https://books.example/books/%7Bkey%7D/of?key=book%3A%7Bkey%7D'],
  ['book:xx-key-xx', 'https://books.example/books/xx-key-xx/of?key=book%3Axx-key-xx'],
])('%j becomes one segment', (key, url) => expect(urlOf(TEMPLATE, key)).toBe(url));

test.each(['book:.', 'book:..', 'book:', 'book:\ud800'])('%j, which would be another resource, has no URL', (key) =>
  expect(urlOf(TEMPLATE, key)).toBeUndefined(),
);

test('dots that are not a segment of their own are kept', () =>
  expect(urlOf('https://books.example/{suffix}.json', 'book:..')).toBe('https://books.example/...json'));

test('a template that is not spelled canonically works', () =>
  expect(urlOf('HTTPS://Books.example:443?key={key}', 'book:1')).toBe('https://books.example/?key=book%3A1'));

test('no key changes the host', () => {
  for (const key of ['book:@evil.example', 'book://evil.example', 'book:\\evil.example']) {
    expect(new URL(urlOf('https://books.example/{suffix}', key)!).host).toBe('books.example');
  }
});
