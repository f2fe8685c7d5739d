// `npm run demo`: every package.json below node_modules goes through the cache and has to come back as it was.
import './setup/node-version.mjs';

void import('./demo/run.mjs').then((module) => module.runDemo());
