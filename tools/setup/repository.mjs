import { fileURLToPath } from 'node:url';

/** Absolute path of the repository, with a slash at the end. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Environment for every run of nx here: no daemon left behind, no cloud, plain lines instead of its own screen. */
export const NX_ENV = {
  NX_DAEMON: 'false',
  NX_NO_CLOUD: 'true',
  NX_TUI: 'false',
  NX_DEFAULT_OUTPUT_STYLE: 'static',
};
