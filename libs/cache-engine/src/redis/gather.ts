import { setTimeout as sleep } from 'node:timers/promises';

/** How long the others get to answer once one has. */
const OTHERS_MS = 300;

/** Asks several servers for the same: what those said, in their order, that answered not much later than the first. */
export async function gather<T>(asked: readonly Promise<T>[]): Promise<{ answers: T[]; problems: Error[] }> {
  const answers = new Map<number, T>();
  const problems: Error[] = [];
  const settled = asked.map((answer, index) =>
    answer.then(
      (value) => void answers.set(index, value),
      (error: unknown) => void problems.push(error as Error),
    ),
  );
  const all = Promise.all(settled);
  const first = Promise.any(asked).then(
    () => sleep(OTHERS_MS),
    () => all,
  );
  await Promise.race([all, first]);
  return { answers: asked.flatMap((_, index) => (answers.has(index) ? [answers.get(index) as T] : [])), problems };
}

/** One line for all of them. */
export function reasons(problems: readonly Error[]): string {
  return problems.map(({ message }) => message).join('; ');
}
