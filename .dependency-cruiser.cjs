// Who may import whom. Read for the repository, and for tools/fixtures/boundaries, which breaks every rule on purpose.
const { existsSync, readdirSync, readFileSync } = require('node:fs');

/**
 * The layers that each layer may import, by the `layer:` tag in the projects' package.json.
 * @type {Record<string, string[]>}
 */
const MAY_IMPORT = {
  contracts: [],
  engine: ['contracts'],
  api: ['contracts', 'engine'],
  sdk: ['contracts'],
  admin: ['contracts', 'sdk'],
  keyv: ['sdk'],
};

/** The same for the folders of the API. `entry` and app.module.ts put everything together and are imported by nobody else. */
const API_FOLDER_MAY_IMPORT = {
  platform: [],
  auth: ['platform'],
  sources: ['platform'],
  cache: ['platform', 'auth', 'sources'],
  config: ['platform', 'auth'],
  monitor: ['platform', 'auth'],
  admin: ['platform', 'auth', 'cache', 'config', 'monitor'],
};

/** @returns {{ path: string, layer: string, mayImport: string[] }[]} */
function readProjects() {
  return ['apps', 'libs']
    .flatMap((folder) => (existsSync(folder) ? readdirSync(folder).map((name) => `${folder}/${name}`) : []))
    .filter((path) => existsSync(`${path}/package.json`))
    .map((path) => {
      /** @type {string[]} */
      const tags = JSON.parse(readFileSync(`${path}/package.json`, 'utf8')).nx?.tags ?? [];
      const layer = tags.find((tag) => tag.startsWith('layer:'))?.slice('layer:'.length) ?? '';
      const mayImport = MAY_IMPORT[layer];
      if (!mayImport) throw new Error(`${path}/package.json needs a layer tag, one of: ${Object.keys(MAY_IMPORT)}`);
      return { path, layer, mayImport };
    });
}

const projects = readProjects();
const layerRules = projects.map(({ path, layer, mayImport }) => ({
  name: `layer-${layer}`,
  comment: `${path} may import of the other projects only those of: ${mayImport.join(', ') || '(none)'}`,
  severity: 'error',
  from: { path: `^${path}/` },
  to: {
    path: '^(apps|libs)/',
    pathNot: projects
      .filter((other) => other.path === path || mayImport.includes(other.layer))
      .map((other) => `^${other.path}/`),
  },
}));

const apiFolderRules = Object.entries(API_FOLDER_MAY_IMPORT).map(([folder, allowed]) => ({
  name: `api-${folder}`,
  comment: `apps/api/src/${folder} may import of the API only: ${allowed.join(', ') || '(nothing)'}`,
  severity: 'error',
  from: { path: `^apps/api/src/${folder}/` },
  to: { path: '^apps/api/src/', pathNot: `^apps/api/src/(${[folder, ...allowed].join('|')})/` },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...layerRules,
    ...apiFolderRules,
    {
      name: 'api-known-folder',
      comment: 'A new folder of the API needs its place in API_FOLDER_MAY_IMPORT',
      severity: 'error',
      from: {
        path: '^apps/api/src/',
        pathNot: `^apps/api/src/((entry|${Object.keys(API_FOLDER_MAY_IMPORT).join('|')})/|app\\.module\\.ts$)`,
      },
      to: {},
    },
    {
      name: 'project-front-door',
      comment: 'Another project is imported by its name, which is its index.ts',
      severity: 'error',
      from: { path: '^((apps|libs)/[^/]+)/' },
      to: { path: '^(apps|libs)/', pathNot: ['^$1/', '^libs/[^/]+/src/index\\.ts$'] },
    },
    {
      name: 'contracts-zod-alone',
      severity: 'error',
      from: { path: '^libs/contracts/src/', pathNot: '\\.test\\.ts$' },
      to: { pathNot: ['^libs/contracts/', '(^|/)node_modules/zod/'] },
    },
    {
      name: 'engine-without-framework',
      comment: 'The cache engine knows no Nest and no HTTP',
      severity: 'error',
      from: { path: '^libs/cache-engine/' },
      to: { path: '(^|/)node_modules/(@nestjs|fastify|@fastify)/' },
    },
    {
      name: 'sources-without-tools',
      severity: 'error',
      from: { path: '^(apps|libs)/[^/]+/src/', pathNot: '\\.test\\.ts$' },
      to: { path: '^(tools|bench|examples)/' },
    },
    { name: 'no-cycle', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-orphan',
      severity: 'error',
      from: { orphan: true, pathNot: ['\\.d\\.ts$', '(^|/)[^/]+\\.config\\.[cm]?[jt]s$'] },
      to: {},
    },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)dist/|^tools/fixtures/|^apps/admin/public/' },
    tsPreCompilationDeps: true,
    // `source` leads from a workspace package's name to its sources instead of its dist/.
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['source', 'import', 'node', 'default'] },
  },
};
