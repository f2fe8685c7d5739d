import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Bootstrap } from '../auth/bootstrap.js';
import { AuditHeadLog } from '../platform/audit/audit-head-log.js';
import { Drain } from '../platform/drain.js';
import { type Environment, StartRefused } from '../platform/env.js';
import { Connections } from '../platform/http/connections.js';
import { log, startLog } from '../platform/logging.js';
import type { Foundations } from '../platform/platform.module.js';
import { createApplication, hasDocs } from './application.js';
import { banner } from './banner.js';
import { layFoundations } from './foundations.js';
import { readSettings } from './settings.js';

/** Time for a load balancer to see that the node is not ready any more, before it stops listening. */
const NOTICE_MS = 200;

async function main(): Promise<void> {
  // eslint-disable-next-line no-restricted-syntax -- the one place where the environment comes in
  const settings = readSettings(process.env);
  const { environment } = settings;
  startLog(environment.LOG_LEVEL, environment.NODE_NAME);
  const foundations = await layFoundations(settings);
  const app = await createApplication(foundations);
  const connections = new Connections(app.getHttpServer());
  await listen(app, environment);
  await app.get(AuditHeadLog).begin();
  stopOnSignals(app, foundations, connections);
  process.stdout.write(banner(await app.getUrl(), environment, app.get(Bootstrap).firstStart, hasDocs(foundations)));
}

async function listen(app: NestFastifyApplication, { PORT, HOST }: Environment): Promise<void> {
  try {
    await app.listen(PORT, HOST);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') {
      throw new StartRefused([`PORT: ${PORT} is taken on ${HOST}: stop what listens there or set PORT to another one`]);
    }
    if (code === 'EACCES') throw new StartRefused([`PORT: no permission to listen on ${PORT}: choose one above 1023`]);
    if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
      throw new StartRefused([`HOST: ${HOST} is not an address of this machine`]);
    }
    throw error;
  }
}

/** On a signal: not ready at once, then what is in flight finishes, then everything closes. */
function stopOnSignals(app: NestFastifyApplication, { config, database }: Foundations, connections: Connections): void {
  const stop = async (signal: string) => {
    const { drain_timeout: drainTimeout } = config.current.server;
    app.get(Drain).begin();
    log.info({ signal }, 'stopping: finishing what is in flight');
    const deadline = setTimeout(() => {
      log.error('gave up waiting for requests in flight');
      process.exit(1);
    }, drainTimeout * 1000);
    await new Promise((resolve) => setTimeout(resolve, signal === 'SIGTERM' ? NOTICE_MS : 0));
    connections.closeUnused();
    await app.close();
    await database.stop();
    clearTimeout(deadline);
    process.exit(0);
  };
  let stopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      // A second Ctrl-C means "now".
      if (stopping) process.exit(130);
      stopping = true;
      stop(signal).catch((error: unknown) => {
        log.fatal({ err: error }, 'could not stop cleanly');
        process.exit(1);
      });
    });
  }
}

main().catch((error: unknown) => {
  if (error instanceof StartRefused) {
    process.stderr.write(`Cache System cannot start:\n${error.problems.map((problem) => `  - ${problem}\n`).join('')}`);
  } else {
    process.stderr.write(
      `Cache System cannot start: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
  }
  process.exit(1);
});
