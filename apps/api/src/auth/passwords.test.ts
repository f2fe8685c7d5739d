import { hash } from '@node-rs/argon2';
import { hashPassword, isOutdated, makePassword, verifyPassword } from './passwords.js';

const RUNNING_AND_WAITING = 52;

test('a password is checked against its hash, and against none', async () => {
  const hashed = await hashPassword('correct horse battery staple');
  expect(await verifyPassword(hashed, 'correct horse battery staple')).toBe(true);
  expect(await verifyPassword(hashed, 'correct horse battery')).toBe(false);
  expect(await verifyPassword(undefined, 'nobody has this password')).toBe(false);
});

test('it takes as long to find that there is no hash as that it is another', async () => {
  const hashed = await hashPassword('x');
  const medianMs = async (passwordHash: string | undefined) => {
    const times: number[] = [];
    for (let i = 0; i < 9; i++) {
      const startedAt = performance.now();
      await verifyPassword(passwordHash, 'y');
      times.push(performance.now() - startedAt);
    }
    return times.sort((one, other) => one - other)[4]!;
  };
  // Without the work there would be a hundredth of the time, which no busy machine hides.
  expect(await medianMs(undefined)).toBeGreaterThan(0.2 * (await medianMs(hashed)));
});

test('a hash of today is not outdated, one with other parameters is', async () => {
  expect(isOutdated(await hashPassword('x'))).toBe(false);
  expect(isOutdated(await hash('x', { memoryCost: 8192, timeCost: 2, parallelism: 1 }))).toBe(true);
});

test('a password that is made is long, and like no other', () => {
  const made = new Set(Array.from({ length: 100 }, makePassword));
  expect(made.size).toBe(100);
  for (const password of made) expect(password).toMatch(/^[\w-]{24}$/);
});

test('no more hashes wait than can be done in a reasonable time: the others are refused at once', async () => {
  const hashes = await Promise.allSettled(Array.from({ length: 60 }, () => hashPassword('x')));
  const refused = hashes.filter((each) => each.status === 'rejected');
  expect(hashes.length - refused.length).toBe(RUNNING_AND_WAITING);
  for (const { reason } of refused) {
    expect(reason).toMatchObject({ code: 'SERVICE_OVERLOADED', headers: { 'Retry-After': '2' } });
  }
  await hashPassword('there is room again');
});
