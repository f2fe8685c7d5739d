import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { PGLiteSocketServer } from '@electric-sql/pglite-socket';
import { StartRefused } from '../env.js';

/** Sockets in the file system have short names only: 108 bytes on Linux, 104 on macOS. */
const MAX_SOCKET_PATH_BYTES = 100;
const DATA_FOLDER = 'postgres';
const SOCKET_NAME = '.s.PGSQL.5432';

/** For what works on the data that is there, and is to make none. @throws StartRefused where there is none */
export function requireDatabase(dataDir: string): void {
  if (!existsSync(join(dataDir, DATA_FOLDER))) throw new StartRefused([`DATA_DIR: no database is in ${dataDir}`]);
}

export interface EmbeddedPostgres {
  /** Folder of the socket, which `pg` takes as its host. */
  readonly socketDir: string;
  stop(): Promise<void>;
}

/**
 * Postgres inside this process, behind a socket of its own, so that everything above speaks to it as to any other
 * server. It serves one connection at a time.
 * @throws StartRefused when another process runs on the same data
 */
export async function startEmbeddedPostgres(dataDir: string): Promise<EmbeddedPostgres> {
  const socketDir = socketDirFor(dataDir);
  mkdirSync(socketDir, { recursive: true, mode: 0o700 });
  const claim = await claimDataDir(dataDir, join(socketDir, 'lock'));
  rmSync(join(socketDir, SOCKET_NAME), { force: true });
  const database = await PGlite.create(join(dataDir, DATA_FOLDER));
  const server = new PGLiteSocketServer({ db: database, path: join(socketDir, SOCKET_NAME) });
  await server.start();
  return {
    socketDir,
    stop: async () => {
      await server.stop();
      await database.close();
      claim.close();
    },
  };
}

/**
 * Two processes on one embedded Postgres would destroy it. A socket that somebody listens on is a claim that ends with
 * the process, however it ends; a file with a process id is not.
 */
async function claimDataDir(dataDir: string, path: string): Promise<Server> {
  for (;;) {
    const claim = await listen(path);
    if (claim) return claim;
    if (await answers(path)) {
      throw new StartRefused([
        `DATA_DIR: ${dataDir} is in use by another process: stop it or choose another DATA_DIR. With a Postgres of your own (DATABASE_URL) several processes can share it`,
      ]);
    }
    rmSync(path, { force: true });
  }
}

function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy()).unref();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen(path, () => resolve(server));
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('close', () => socket.destroy());
  });
}

function socketDirFor(dataDir: string): string {
  const beside = join(dataDir, 'run');
  if (Buffer.byteLength(join(beside, SOCKET_NAME)) <= MAX_SOCKET_PATH_BYTES) return beside;
  return join(tmpdir(), `cache-system-${createHash('sha256').update(dataDir).digest('hex').slice(0, 16)}`);
}
