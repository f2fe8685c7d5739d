import { ErrorReply } from 'redis';
import { SPACE_PLACE } from './redis-recount.js';

const TRIED_ON = `${SPACE_PLACE}rights`;
/** What the counting needs beyond all else, in an order that leaves nothing. */
const NEEDED = [
  ['HINCRBY', TRIED_ON, 'bytes', '0'],
  ['HSET', TRIED_ON, 'bytes', '0'],
  ['HMGET', TRIED_ON, 'bytes'],
  ['HGETALL', TRIED_ON],
  ['HDEL', TRIED_ON, 'bytes'],
  ['DEL', TRIED_ON],
  ['STRLEN', TRIED_ON],
] as const;
const REFUSALS = /^(NOPERM|ERR unknown command)/;

/**
 * Whether this node may run what the counting needs. A script that may not has stored the entry by then, and fails: so it is
 * found out before, once. Without the rights nothing is counted, and no limit holds.
 */
export class SpaceRights {
  /** Undefined until it is known. */
  granted: boolean | undefined;
  private asking: Promise<boolean> | undefined;

  /** @param onMissing is told once which commands there are no rights for */
  constructor(
    private readonly send: (key: string, command: readonly string[]) => Promise<unknown>,
    private readonly onMissing: (commands: readonly string[]) => void = () => undefined,
  ) {}

  /** @throws where the server does not answer */
  ask(): Promise<boolean> {
    this.asking ??= this.tryAll().finally(() => (this.asking = undefined));
    return this.asking;
  }

  private async tryAll(): Promise<boolean> {
    if (this.granted !== undefined) return this.granted;
    const missing: string[] = [];
    for (const command of NEEDED) {
      try {
        await this.send(TRIED_ON, command);
      } catch (error) {
        if (!(error instanceof ErrorReply)) throw error;
        if (REFUSALS.test(error.message)) missing.push(command[0].toLowerCase());
      }
    }
    this.granted = missing.length === 0;
    if (!this.granted) this.onMissing(missing);
    return this.granted;
  }
}
