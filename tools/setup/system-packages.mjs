import { rmSync, writeFileSync } from 'node:fs';
import { IMAGES } from '../harness/containers.mjs';
import { findChromium, findCommand, findPostgres, isDockerRunning } from '../harness/installed.mjs';
import { runWithProgress } from './progress.mjs';
import { ROOT } from './repository.mjs';

/** @typedef {'redis' | 'postgres' | 'chromium'} SystemPackage */

/** @type {Record<SystemPackage, { apt: string, image: string | null, isInstalled: () => boolean }>} */
const PACKAGES = {
  redis: { apt: 'redis-server', image: IMAGES.redis, isInstalled: () => findCommand('redis-server') !== null },
  postgres: { apt: 'postgresql', image: IMAGES.postgres, isInstalled: () => findPostgres() !== null },
  chromium: { apt: 'chromium', image: null, isInstalled: () => findChromium() !== null },
};

/** Debian's way to forbid that the installation of a package starts its service. */
const POLICY = '/usr/sbin/policy-rc.d';
const APT_ENV = { DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_MODE: 'l' };

/**
 * Makes sure that the servers and the browser that the tests use can be started: installs them as root, else leaves them to
 * Docker where that can run them.
 *
 * @param {SystemPackage[]} needed
 * @returns {Promise<string | null>} what the user has to install, or null when all is there
 */
export async function installSystemPackages(needed) {
  const missing = needed.map((name) => PACKAGES[name]).filter((one) => !one.isInstalled());
  if (missing.length === 0) return null;

  if (process.getuid?.() === 0 && findCommand('apt-get')) {
    await aptInstall(missing.map((one) => one.apt));
    return explain(missing.filter((one) => !one.isInstalled()));
  }
  const notInDocker = isDockerRunning() ? missing.filter((one) => !one.image) : missing;
  if (notInDocker.length > 0) return explain(notInDocker);
  for (const { image } of missing) {
    await runWithProgress(`Pulling ${image}`, 'docker', ['pull', '--quiet', String(image)], { cwd: ROOT });
  }
  return null;
}

/** @param {string[]} names */
async function aptInstall(names) {
  const options = { cwd: ROOT, env: { ...process.env, ...APT_ENV } };
  const apt = ['-o', 'DPkg::Lock::Timeout=300', '-y'];
  const removePolicy = forbidServices();
  try {
    await runWithProgress('Reading the package lists', 'apt-get', [...apt, 'update'], options);
    await runWithProgress(
      `Installing ${names.join(', ')}`,
      'apt-get',
      [...apt, 'install', '--no-install-recommends', ...names],
      options,
    );
  } finally {
    removePolicy();
  }
}

/** @returns {() => void} takes the prohibition back */
function forbidServices() {
  try {
    writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755, flag: 'wx' });
  } catch {
    // This machine has a policy of its own.
    return () => undefined;
  }
  return () => rmSync(POLICY);
}

/** @param {{ apt: string }[]} missing */
function explain(missing) {
  if (missing.length === 0) return null;
  const names = missing.map((one) => one.apt).join(' ');
  return [
    `The tests need what is not installed here: ${names}. What helps:`,
    `  sudo apt-get install ${names}`,
    '  run this command as root, and it installs them',
    ...(missing.some((one) => one.apt === 'chromium')
      ? ['  CHROMIUM_PATH=<a Chrome or Chromium of yours>, for chromium']
      : []),
    ...(missing.some((one) => one.apt !== 'chromium')
      ? ['  a running Docker engine, for redis-server and postgresql']
      : []),
  ].join('\n');
}
