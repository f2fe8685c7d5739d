import type { Config } from '@cache-system/contracts';
import { configSources, type Environment, readEnvironment, StartRefused } from '../platform/env.js';
import { readConfig } from '../platform/live-config.js';

/** What a process is started with. */
export interface Settings {
  readonly environment: Environment;
  readonly config: Config;
}

/** @throws StartRefused with everything that is wrong in the environment and in the configuration */
export function readSettings(variables: NodeJS.ProcessEnv): Settings {
  const problems: string[] = [];
  const attempt = <T>(read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof StartRefused)) throw error;
      problems.push(...error.problems);
      return undefined;
    }
  };
  const environment = attempt(() => readEnvironment(variables));
  const config = attempt(() => readConfig(configSources(variables)));
  if (!environment || !config) throw new StartRefused(problems);
  return { environment, config };
}
