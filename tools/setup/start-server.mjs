import { prepare } from './prepare.mjs';

/** Everything after the start is the server's own: banner, signals, exit codes. */
export async function startServer() {
  const code = await prepare({ build: true });
  if (code !== 0) process.exit(code);

  process.setSourceMapsEnabled(true);
  const server = new URL('../../apps/api/dist/entry/server.js', import.meta.url);
  await import(server.href);
}
