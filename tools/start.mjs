// `npm start`: installs and builds what is not up to date, then becomes the server.
import './setup/node-version.mjs';

// Imported only after the check above: an old Node could not even parse what follows.
void import('./setup/start-server.mjs').then((module) => module.startServer());
