import { Cache } from '@cache-system/cache-engine';
import { Injectable } from '@nestjs/common';

/** Wakes those who wait for something to happen to a key, on whichever node. */
@Injectable()
export class KeyChanges {
  private readonly waiting = new Map<string, Set<() => void>>();

  constructor(cache: Cache) {
    cache.onChange((change) => {
      if ('key' in change) wake(this.waiting.get(change.key));
      else for (const [key, each] of this.waiting) if (key.startsWith(change.prefix)) wake(each);
    });
  }

  /** Resolves with the next change, or after so long. To be called before what may have changed is looked at. */
  next(key: string): { within(ms: number): Promise<void>; cancel(): void } {
    const all = this.waiting.get(key) ?? new Set();
    this.waiting.set(key, all);
    let changed: () => void = () => undefined;
    const change = new Promise<void>((resolve) => (changed = resolve));
    all.add(changed);
    const cancel = () => {
      all.delete(changed);
      if (all.size === 0 && this.waiting.get(key) === all) this.waiting.delete(key);
    };
    return {
      cancel,
      within: async (ms) => {
        let timer: NodeJS.Timeout | undefined;
        const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
        await Promise.race([change, late]);
        clearTimeout(timer);
        cancel();
      },
    };
  }
}

function wake(waiting: ReadonlySet<() => void> | undefined): void {
  for (const each of [...(waiting ?? [])]) each();
}
