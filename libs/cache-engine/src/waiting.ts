/** A caller whose answer comes with those of others. */
export interface Waiting<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

/** Gives each caller its part of the answers, or all of them the same failure. */
export function settle<T>(waiting: readonly Waiting<T>[], answers: Promise<readonly T[]>): void {
  answers.then(
    (values) => waiting.forEach(({ resolve }, index) => resolve(values[index] as T)),
    (error: unknown) => waiting.forEach(({ reject }) => reject(error)),
  );
}
