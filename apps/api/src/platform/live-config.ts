import { readFileSync } from 'node:fs';
import { type Config, configSchema } from '@cache-system/contracts';
import { parse as parseToml } from 'smol-toml';
import { parse as parseYaml } from 'yaml';
import { type ConfigSources, StartRefused } from './env.js';

type Tree = Record<string, unknown>;
type Listener = (config: Config) => void;

/** The configuration in force: one frozen snapshot, replaced as a whole. Readers see the old or the new, never a mix. */
export class LiveConfig {
  private readonly listeners = new Set<Listener>();

  constructor(private snapshot: Config) {}

  get current(): Config {
    return this.snapshot;
  }

  /** Calls `listener` with the snapshot in force, and again with each that replaces it. */
  follow(listener: Listener): void {
    this.listeners.add(listener);
    listener(this.snapshot);
  }

  replace(config: Config): void {
    this.snapshot = deepFreeze(config);
    for (const listener of this.listeners) listener(this.snapshot);
  }
}

/**
 * Defaults, then the file, then the environment.
 * @throws StartRefused with every problem
 */
export function readConfig({ CONFIG_FILE, configOverrides }: ConfigSources): Config {
  const tree = CONFIG_FILE === undefined ? {} : readFile(CONFIG_FILE);
  const sections = Object.keys(configSchema.shape);
  for (const [path, text] of configOverrides) {
    const steps = path.split('.');
    if (sections.includes(steps[0] ?? '')) setAt(tree, steps, valueOf(text));
  }
  const parsed = configSchema.safeParse(tree);
  if (parsed.success) return deepFreeze(parsed.data);
  throw new StartRefused(
    parsed.error.issues.map(({ path, message }) => `${`config ${path.join('.')}`.trim()}: ${message}`),
  );
}

function readFile(path: string): Tree {
  try {
    const text = readFileSync(path, 'utf8');
    const tree: unknown = /\.toml$/i.test(path) ? parseToml(text) : parseYaml(text);
    if (tree === null || tree === undefined) return {};
    if (typeof tree !== 'object' || Array.isArray(tree)) throw new Error('must hold a table of settings');
    return tree as Tree;
  } catch (error) {
    throw new StartRefused([`CONFIG_FILE: ${path}: ${(error as Error).message}`]);
  }
}

/** Numbers, booleans and lists are written as in JSON; everything else is a text. */
function valueOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function setAt(tree: Tree, steps: readonly string[], value: unknown): void {
  let node = tree;
  for (const step of steps.slice(0, -1)) {
    const next = Object.hasOwn(node, step) ? node[step] : undefined;
    if (typeof next === 'object' && next !== null) node = next as Tree;
    else node = node[step] = Object.create(null) as Tree;
  }
  node[steps.at(-1) ?? ''] = value;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
