import { execFileSync } from 'node:child_process';
import { spawnTied } from './tied-process.mjs';

/** What stands in for a server that is not installed. */
export const IMAGES = { redis: 'redis:7.4.7', postgres: 'postgres:17.7' };

/**
 * Runs a container whose port is published on 127.0.0.1, with signals that reach what runs in it.
 *
 * @param {string} image
 * @param {string} name
 * @param {number} port
 * @param {number} portInside
 * @param {string[]} options of `docker run`
 * @param {string[]} command
 * @returns {import('./tied-process.mjs').TiedProcess & { signal: (signal: NodeJS.Signals) => void }}
 */
export function runContainer(image, name, port, portInside, options, command) {
  const publish = `127.0.0.1:${port}:${portInside}`;
  // `--init`: the signal that ends the client with us is passed on to a first process that obeys it.
  const client = spawnTied(
    'docker',
    ['run', '--rm', '--init', '--name', name, '--publish', publish, ...options, image, ...command],
    {
      signalAtDeath: 'INT',
    },
  );
  const docker = (/** @type {string[]} */ ...args) => {
    execFileSync('docker', [...args, name], { stdio: 'ignore' });
  };
  return {
    ...client,
    signal(signal) {
      if (signal === 'SIGSTOP') docker('pause');
      else if (signal === 'SIGCONT') unlessIdle(() => docker('unpause'));
    },
    end(signal) {
      unlessIdle(() => docker('kill', '--signal', signal));
      return client.ended;
    },
  };
}

/** @param {() => void} command which fails when there is nothing left for it to do */
function unlessIdle(command) {
  try {
    command();
  } catch {
    // Was not paused, or has ended.
  }
}
