import { readEnvironment } from '../platform/env.js';
import { banner } from './banner.js';

test('names the documentation where there is one, and nowhere else', () => {
  const environment = readEnvironment({});
  expect(banner('http://x', environment, {}, true)).toContain('http://x/docs');
  expect(banner('http://x', environment, {}, false)).not.toContain('/docs');
});
