import { type HeaderFields, ttlOf } from './freshness.js';

const NOW = 'Sat, 21 Nov 2026 12:00:00 GMT';
const HOUR_LATER = 'Sat, 21 Nov 2026 13:00:00 GMT';

test.each<[headers: HeaderFields, ttlSeconds: number | undefined]>([
  [{}, undefined],
  [{ 'cache-control': 'public' }, undefined],
  [{ 'cache-control': 'max-age=60' }, 60],
  [{ 'cache-control': 'MAX-AGE=60' }, 60],
  [{ 'cache-control': 'max-age="60"' }, 60],
  [{ 'cache-control': 'max-age=60', age: '20' }, 40],
  [{ 'cache-control': 'max-age=60', age: '90' }, 0],
  [{ 'cache-control': 'max-age=60', age: 'old' }, 60],
  [{ 'cache-control': 'max-age=60, s-maxage=600' }, 600],
  [{ 'cache-control': 's-maxage=0, max-age=60' }, 0],
  [{ 'cache-control': 'max-age=60, max-age=10' }, 60],
  [{ 'cache-control': ['public', 'max-age=60'] }, 60],
  [{ 'cache-control': 'max-age=soon' }, 0],
  [{ 'cache-control': 'max-age=-1' }, 0],
  [{ 'cache-control': 'max-age=99999999999999999999' }, 315_360_000],
  [{ 'cache-control': 'no-store, max-age=60' }, 0],
  [{ 'cache-control': 'private, max-age=60' }, 0],
  [{ 'cache-control': 'no-cache' }, 0],
  [{ 'cache-control': 'x="no-store, private", max-age=60' }, 60],
  [{ 'cache-control': 'private="set-cookie", max-age=60' }, 0],
  [{ expires: HOUR_LATER, date: NOW }, 3600],
  [{ expires: HOUR_LATER, date: NOW, age: '600' }, 3000],
  [{ expires: NOW, date: HOUR_LATER }, 0],
  [{ expires: '0', date: NOW }, 0],
  [{ expires: HOUR_LATER, date: NOW, 'cache-control': 'max-age=5' }, 5],
])('%j may be kept for %p s', (headers, ttlSeconds) => expect(ttlOf(headers)).toBe(ttlSeconds));
