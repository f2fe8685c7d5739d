// Dockerfile and docker-compose.yml cannot be built everywhere; this reads them and checks what reading can show.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { IMAGES } from '../harness/containers.mjs';
import { ROOT } from '../setup/repository.mjs';

const INSTRUCTIONS = /^(FROM|LABEL|WORKDIR|COPY|RUN|ENV|USER|VOLUME|EXPOSE|HEALTHCHECK|STOPSIGNAL|CMD)$/;
const PINNED = /^[\w./-]+:\d+\.\d+(\.\d+)?(-[\w.-]+)?$/;
const SECRET = /PASSWORD|SECRET/;

/** @type {string[]} */
const problems = [];
/** @param {unknown} holds @param {string} problem */
function check(holds, problem) {
  if (!holds) problems.push(problem);
}

checkDockerfile();
checkCompose();
if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exitCode = 1;
}

function checkDockerfile() {
  const instructions = readInstructions();
  for (const { name, text } of instructions)
    check(INSTRUCTIONS.test(name), `Dockerfile: unknown instruction ${name} ${text}`);

  /** @type {{ name: string, copies: { from: string | undefined, sources: string[] }[], rest: { name: string, text: string }[] }[]} */
  const stages = [];
  for (const { name, text } of instructions) {
    const stage = stages.at(-1);
    if (name === 'FROM') {
      const [image = '', , alias = 'last'] = text.split(' ');
      check(PINNED.test(image), `Dockerfile: ${image} is not pinned to a version`);
      stages.push({ name: alias, copies: [], rest: [] });
    } else if (name === 'COPY') {
      const from = /^--from=(\S+) /.exec(text)?.[1];
      check(
        !from || stages.slice(0, -1).some((earlier) => earlier.name === from),
        `Dockerfile: no earlier stage ${from}`,
      );
      stage?.copies.push({
        from,
        sources: text
          .replace(/^--\S+ /, '')
          .split(' ')
          .slice(0, -1),
      });
    } else {
      stage?.rest.push({ name, text });
    }
  }

  const here = stages.flatMap(({ copies }) => copies.filter(({ from }) => !from).flatMap(({ sources }) => sources));
  for (const source of here) check(existsSync(ROOT + source), `Dockerfile: there is no ${source} to copy`);
  const packages = stages.find(({ name }) => name === 'packages')?.copies.flatMap(({ sources }) => sources) ?? [];
  for (const project of projects())
    check(packages.includes(`${project}/package.json`), `Dockerfile: npm ci needs ${project}/package.json`);

  const last = stages.at(-1);
  const built = last?.copies.filter(({ from }) => from === 'build').flatMap(({ sources }) => sources) ?? [];
  for (const project of ['apps/admin', ...withWorkspaceDependencies('apps/api')]) {
    check(built.includes(`/app/${project}/dist`), `Dockerfile: the image lacks ${project}/dist`);
  }
  const find = (/** @type {string} */ name) =>
    last?.rest.findLast((instruction) => instruction.name === name)?.text ?? '';
  check(/^[a-z]/.test(find('USER')) && find('USER') !== 'root', 'Dockerfile: the service runs as root');
  for (const [name, text] of [
    ['CMD', find('CMD')],
    ['HEALTHCHECK', find('HEALTHCHECK').replace(/^.*? CMD /, '')],
  ]) {
    check(isCommand(text), `Dockerfile: ${name} is not a JSON array of words`);
  }
}

/** @returns {{ name: string, text: string }[]} the instructions, each on one line */
function readInstructions() {
  const lines = readFileSync(`${ROOT}Dockerfile`, 'utf8')
    .split('\n')
    .filter((line) => line.trim() && !line.startsWith('#'));
  return lines
    .join('\n')
    .replace(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => ({ name: /^\S*/.exec(line)?.[0] ?? '', text: line.replace(/^\S*\s*/, '') }));
}

function projects() {
  return ['apps', 'libs']
    .flatMap((folder) => readdirSync(ROOT + folder).map((name) => `${folder}/${name}`))
    .filter((project) => existsSync(`${ROOT}${project}/package.json`));
}

/** @param {string} project @returns {Set<string>} itself and the projects that it imports at run time, directly or not */
function withWorkspaceDependencies(project, found = new Set([project])) {
  const { dependencies = {} } = JSON.parse(readFileSync(`${ROOT}${project}/package.json`, 'utf8'));
  const byName = new Map(
    projects().map((path) => [JSON.parse(readFileSync(`${ROOT}${path}/package.json`, 'utf8')).name, path]),
  );
  for (const path of Object.keys(dependencies).map((name) => byName.get(name))) {
    if (path && !found.has(path)) withWorkspaceDependencies(path, found.add(path));
  }
  return found;
}

/** @param {string | undefined} text */
function isCommand(text) {
  try {
    const words = JSON.parse(text ?? '');
    return Array.isArray(words) && words.every((word) => typeof word === 'string');
  } catch {
    return false;
  }
}

function checkCompose() {
  const text = readFileSync(`${ROOT}docker-compose.yml`, 'utf8');
  /** @type {{ services: Record<string, { image: string, environment?: Record<string, string>, volumes?: string[], depends_on?: object, healthcheck?: object, build?: string }>, volumes: object }} */
  const { services, volumes } = parse(text, { strict: true });

  for (const [name, service] of Object.entries(services)) {
    check(PINNED.test(service.image), `docker-compose.yml: ${name} has no pinned image`);
    check(service.build ?? service.healthcheck, `docker-compose.yml: ${name} has no healthcheck`);
    for (const other of Object.keys(service.depends_on ?? {}))
      check(other in services, `docker-compose.yml: no service ${other}`);
    for (const volume of service.volumes ?? [])
      check((volume.split(':')[0] ?? '') in volumes, `docker-compose.yml: no volume ${volume}`);
  }
  for (const [name, image] of Object.entries(IMAGES))
    check(services[name]?.image === image, `docker-compose.yml: ${name} is not ${image}, which the tests use`);

  const known = readFileSync(`${ROOT}apps/api/src/platform/env.ts`, 'utf8');
  for (const name of Object.keys(services['api']?.environment ?? {}))
    check(new RegExp(`\\b${name}\\b`).test(known), `docker-compose.yml: the API knows no ${name}`);
  for (const [, name = '', otherwise = ''] of text.matchAll(/\$\{(\w+)(:[?-])?/g)) {
    check(otherwise, `docker-compose.yml: \${${name}} is neither required nor has a default`);
    check(!SECRET.test(name) || otherwise === ':?', `docker-compose.yml: the secret ${name} is not required`);
  }
}
