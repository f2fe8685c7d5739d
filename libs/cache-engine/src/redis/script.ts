import { createHash } from 'node:crypto';
import { ErrorReply } from 'redis';
import type { Command } from './connection.js';

/** A Lua script and the digest under which servers know it once they have seen it. */
export interface RedisScript {
  readonly source: string;
  readonly sha: string;
}

export function redisScript(source: string): RedisScript {
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}

/** Runs a script by its digest, through `send`; a server that does not know it runs nothing, and is given it by `load`. */
export async function runScript<T>(
  script: RedisScript,
  keys: readonly string[],
  args: Command,
  send: (command: Command) => Promise<T>,
  load: (script: RedisScript) => Promise<unknown>,
): Promise<T> {
  const rest = [String(keys.length), ...keys, ...args];
  try {
    return await send(['EVALSHA', script.sha, ...rest]);
  } catch (error) {
    if (!isUnknownScript(error)) throw error;
  }
  await load(script);
  try {
    return await send(['EVALSHA', script.sha, ...rest]);
  } catch (error) {
    // Forgotten again: by SCRIPT FLUSH, or the server has changed in between.
    if (!isUnknownScript(error)) throw error;
    return await send(['EVAL', script.source, ...rest]);
  }
}

function isUnknownScript(error: unknown): boolean {
  return error instanceof ErrorReply && error.message.startsWith('NOSCRIPT');
}
