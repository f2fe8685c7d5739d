// ESM packages (Nest 12 is one) are compiled to CommonJS for the tests: jest's own ESM mode fails with packages that
// require() them. Neither tested code nor what it imports may therefore use top-level await.
const ESM_PACKAGES = [
  '@nestjs',
  'file-type',
  'load-esm',
  '@tokenizer',
  'strtok3',
  'uint8array-extras',
  'token-types',
  'cache-manager',
  '@cacheable',
  'keyv',
  'hookified',
  '@keyv',
  'jose',
  'es-toolkit',
  'cookie',
  'content-disposition',
];

/** @param {object} parser */
const swc = (parser) => [
  '@swc/jest',
  {
    swcrc: false,
    jsc: {
      parser,
      transform: { legacyDecorator: true, decoratorMetadata: true, react: { runtime: 'automatic' } },
      target: 'es2022',
      keepClassNames: true,
    },
    module: { type: 'commonjs' },
    sourceMaps: 'inline',
  },
];

/** @param {string} displayName @param {string[]} testMatch */
const project = (displayName, testMatch) => ({
  displayName,
  testMatch: testMatch.map((pattern) => `<rootDir>/${pattern}`),
  testEnvironment: 'node',
  // Not in the temporary folder, which the test command makes anew for each run.
  cacheDirectory: '<rootDir>/node_modules/.cache/jest',
  // `source`: the workspace's own packages are tested as they are written, not as they were last built.
  testEnvironmentOptions: { customExportConditions: ['source', 'node', 'require', 'default'] },
  transform: {
    '^.+\\.ts$': swc({ syntax: 'typescript', decorators: true }),
    '^.+\\.tsx$': swc({ syntax: 'typescript', decorators: true, tsx: true }),
    '^.+\\.m?jsx?$': swc({ syntax: 'ecmascript', decorators: true, jsx: true }),
  },
  transformIgnorePatterns: [`/node_modules/(?!(${ESM_PACKAGES.join('|')})/)`],
  // TypeScript sources import each other by the name of their output.
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': ['$1.ts', '$1.tsx', '$1.js'] },
  modulePathIgnorePatterns: ['<rootDir>/(apps|libs)/[^/]+/dist/', '<rootDir>/\\.nx/', '<rootDir>/tools/fixtures/'],
});

/** @type {import('jest').Config} */
module.exports = {
  // Starting a service and its stores may take seconds on a busy machine. Nothing waits by the clock.
  testTimeout: 60_000,
  projects: [
    project('unit', ['libs/*/src/**/*.test.ts', 'apps/*/src/**/*.test.ts', 'tools/**/*.test.mjs']),
    project('engine', ['libs/cache-engine/test/**/*.test.ts']),
    project('api', ['apps/api/test/**/*.test.ts']),
    project('browser', ['apps/admin/test/**/*.test.ts']),
  ],
};
