import type { LoggerService } from '@nestjs/common';
import { pino, type Logger } from 'pino';
import pretty from 'pino-pretty';

/**
 * The log of the process: JSON lines on standard error, readable lines on a terminal. What is printed for a person, the
 * banner, goes to standard output.
 */
export let log: Logger = pino({ level: 'silent' });

export function startLog(level: string, node: string): void {
  const stream = process.stderr.isTTY
    ? pretty({ destination: 2, sync: true, ignore: 'pid,hostname,node', translateTime: 'HH:MM:ss' })
    : pino.destination({ dest: 2, sync: true });
  log = pino({ level, base: { node }, redact: ['headers.authorization', 'headers["x-api-key"]'] }, stream);
}

/** What these report is thrown as well, and told once where it is caught. */
const REPORTED_TWICE = ['ExceptionHandler', 'NestApplication'];

/** Lets what Nest has to say through to the log: warnings and worse, as its start-up story helps nobody. */
export const nestLogger: LoggerService = {
  log: () => undefined,
  warn: (message: unknown) => log.warn(String(message)),
  error: (message: unknown, ...rest: unknown[]) => {
    if (!REPORTED_TWICE.includes(String(rest.at(-1)))) log.error({ rest }, String(message));
  },
  fatal: (message: unknown) => log.fatal(String(message)),
};
