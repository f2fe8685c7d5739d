import { Injectable } from '@nestjs/common';

/** Whether the process is on its way out: it finishes what it has and asks for no more. */
@Injectable()
export class Drain {
  private hasBegun = false;
  private readonly listeners: (() => void)[] = [];

  get draining(): boolean {
    return this.hasBegun;
  }

  begin(): void {
    this.hasBegun = true;
    for (const listener of this.listeners) listener();
  }

  /** For what would not end by itself. */
  onBegin(listener: () => void): void {
    this.listeners.push(listener);
  }
}
