import { Agent, get, type IncomingMessage } from 'node:http';
import { eventually } from '../../../../tools/harness/eventually.mjs';
import type { Client } from './client.js';

export interface SentEvent {
  readonly id: string | undefined;
  readonly event: string;
  readonly data: Readonly<Partial<Record<string, string>>>;
}

/** Reads a stream of server-sent events as an EventSource does, but does not come again by itself. */
export class EventReader {
  readonly events: SentEvent[] = [];
  /** What an EventSource would send as `Last-Event-ID`. */
  lastId: string | undefined;
  heartbeats = 0;
  hasEnded = false;
  private rest = '';

  private constructor(readonly response: IncomingMessage) {
    response.setEncoding('utf8').on('data', (text: string) => this.read(text));
    response.on('error', () => undefined);
    response.on('close', () => (this.hasEnded = true));
  }

  static open(client: Client, path = '', lastId?: string): Promise<EventReader> {
    const headers = { ...client.headers, ...(lastId !== undefined && { 'last-event-id': lastId }) };
    return new Promise((resolve, reject) => {
      // A connection of its own: nothing else waits behind the stream.
      const request = get(`${client.url}/v1/cache/events${path}`, { headers, agent: new Agent() }, (response) => {
        if (response.statusCode === 200) resolve(new EventReader(response));
        else reject(new Error(`answered ${response.statusCode}`));
      });
      request.on('error', reject);
    });
  }

  /** Events in short, in their order: what and to what. */
  get told(): string[] {
    return this.events.map(({ event, data: { key, prefix, pattern, tag } }) =>
      [event, key ?? prefix, pattern, tag].filter((part) => part !== undefined).join(' '),
    );
  }

  hasTold(...wanted: string[]): Promise<void> {
    return eventually(`${wanted.join(', ')} of ${this.told.join(', ')}`, () =>
      wanted.every((each) => this.told.includes(each)),
    );
  }

  async ends(): Promise<SentEvent | undefined> {
    await eventually('the stream ends', () => this.hasEnded);
    return this.events.at(-1);
  }

  close(): void {
    this.response.destroy();
  }

  private read(text: string): void {
    const blocks = (this.rest + text).split('\n\n');
    this.rest = blocks.pop() ?? '';
    for (const block of blocks) this.dispatch(block.split('\n'));
  }

  private dispatch(lines: readonly string[]): void {
    const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
    const [id, event, data] = [field('id'), field('event'), field('data')];
    if (lines.includes(':')) this.heartbeats++;
    this.lastId = id ?? this.lastId;
    if (event === undefined || data === undefined) return;
    this.events.push({ id, event, data: JSON.parse(data) as Record<string, string> });
  }
}
