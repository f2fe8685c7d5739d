import { readConfig } from '../platform/live-config.js';
import { configSources, readVariable, StartRefused } from '../platform/env.js';
import { installWatch, removeWatch } from '../sources/watch-installation.js';

const USAGE = `npm run sources -- watch install|remove <source>

  install   makes the table of a Postgres source tell of its changes: a table for them and triggers, in the
            schema cache_system. May be run again at any time; the role has to own the table
  remove    removes what was installed for the source`;

const COMMANDS = { install: installWatch, remove: removeWatch } as const;

/** Prepares the databases of sources, with the configuration that the service starts with. */
async function run([group, command = '', name = '']: readonly string[]): Promise<string> {
  if (group !== 'watch' || !Object.hasOwn(COMMANDS, command)) throw new StartRefused([USAGE]);
  // eslint-disable-next-line no-restricted-syntax -- an entry point: here the environment comes in
  const { definitions } = readConfig(configSources(process.env)).cache.sources;
  const definition = definitions.find((each) => each.name === name);
  if (definition?.type !== 'postgres') {
    const known = definitions.filter(({ type }) => type === 'postgres').map((each) => each.name);
    throw new StartRefused([
      `no source in cache.sources is named ${JSON.stringify(name)} and of type postgres: there ${known.length === 0 ? 'is none' : `are ${known.join(', ')}`}`,
    ]);
  }
  await COMMANDS[command as keyof typeof COMMANDS](definition, readVariable);
  return command === 'install' ? `changes of the table of ${name} are told of` : `nothing is left of it for ${name}`;
}

try {
  process.stdout.write(`${await run(process.argv.slice(2))}\n`);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
