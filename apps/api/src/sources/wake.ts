/** Lets one wait for something to happen. What happens while nobody waits is not lost. */
export class Wake {
  private isUp = false;
  private failure: Error | undefined;
  private waiting: (() => void) | undefined;

  up(): void {
    this.isUp = true;
    this.waiting?.();
  }

  /** For good. */
  fail(failure: Error): void {
    this.failure ??= failure;
    this.waiting?.();
  }

  /** Resolves after `timeoutMs` at the latest. @throws what `fail` was called with */
  async wait(timeoutMs: number): Promise<void> {
    if (!this.isUp && !this.failure) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.waiting = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.waiting = undefined;
    this.isUp = false;
    if (this.failure) throw this.failure;
  }
}
