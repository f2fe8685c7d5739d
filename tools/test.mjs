// `npm test`: every check there is, on this machine as it is. `npm run check` (`--fast`) leaves out what needs servers.
import './setup/node-version.mjs';

void import('./gates/run.mjs').then((module) => module.run(process.argv.slice(2)));
