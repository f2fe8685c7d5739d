/** Waits until something holds, and fails with its name when it never does. */
export async function eventually(
  name: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 10_000,
): Promise<void> {
  const giveUpAt = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > giveUpAt) throw new Error(`never came true: ${name}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
