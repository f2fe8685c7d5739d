// `npm run dev`: the API, restarted on every change of it or of the libraries, and the admin app, reloaded by Vite.
import './setup/node-version.mjs';

void import('./setup/dev-servers.mjs').then((module) => module.runDevServers());
