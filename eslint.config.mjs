// What a review would otherwise say again and again. Formatting is Prettier's, types are tsc's.
import nx from '@nx/eslint-plugin';
import prettier from 'eslint-config-prettier';
import { defineConfig, globalIgnores } from 'eslint/config';
import { builtinModules } from 'node:module';
import tseslint from 'typescript-eslint';

// The boundary rule reads Nx's project graph, and where none is cached it lets everything pass. So the graph is
// made here, once a run (about a second), in this process: no daemon, no plugin workers that would stay behind.
process.env['NX_DAEMON'] = 'false';
process.env['NX_ISOLATE_PLUGINS'] = 'false';
const { createProjectGraphAsync } = await import('nx/src/devkit-exports.js');
await createProjectGraphAsync({ exitOnError: false });

/*
 * The boundaries, in one table. The package.json of a room says in "nx": {"tags": [...]} what the room is; its
 * sources may import the kinds of room in that line, and no others. Where a room has two tags, both lines hold.
 * test/architecture/boundaries.test.ts shows that each line refuses what it must.
 */
const ROOMS = {
  'scope:contracts': [],
  'scope:platform': [],
  'scope:client': ['scope:contracts'],
  'scope:routing': ['scope:contracts'],
  'scope:port': ['scope:contracts', 'scope:platform', 'scope:routing'],
  'scope:lib': ['scope:contracts', 'scope:platform', 'scope:port'],
  'scope:adapter': ['scope:contracts', 'scope:platform', 'scope:routing', 'scope:port'],
  // Of the ports an adapter sees only its own. How long batches take is what tiers are chosen by.
  'port:embedding': ['scope:contracts', 'scope:platform', 'scope:routing', 'port:embedding'],
  'port:vector-store': ['scope:contracts', 'scope:platform', 'port:vector-store'],
  'port:rerank': ['scope:contracts', 'scope:platform', 'scope:routing', 'port:rerank'],
  'scope:testing': ['scope:contracts', 'scope:platform', 'scope:client', 'scope:port', 'scope:adapter'],
  'scope:app': [
    'scope:contracts',
    'scope:platform',
    'scope:client',
    'scope:routing',
    'scope:port',
    'scope:lib',
  ],
};
/** The packages from npm that a kind of room may use, where the list is short on purpose. */
const PACKAGES = {
  'scope:contracts': ['zod', 'zod/*'],
  'scope:routing': ['zod'],
  'scope:client': ['eventsource-parser', 'eventsource-parser/*'],
};
/** Where an app chooses its adapters; the rest of it sees ports only. */
const IN_COMPOSITION = { ...ROOMS, 'scope:app': [...ROOMS['scope:app'], 'scope:adapter'] };
const COMPOSITION = [
  'apps/*/src/{main,compose,compose-*}.ts',
  // `embergate up` and `doctor` start a Redis server on this machine, which is the queue's knowledge.
  'apps/cli/src/up/*.ts',
  'apps/cli/src/commands/doctor.ts',
];
/** Tests use the real parts of any room; an app they start as a process. */
const IN_TESTS = { '*': [...new Set(Object.values(ROOMS).flat()), 'scope:testing'] };
/** A port's conformance suite is a test that lives in the sources, so that adapters can import it. */
const TESTS = ['{apps,libs}/*/test/**/*.ts', 'test/**/*.ts', 'libs/*/src/conformance{.ts,/**/*.ts}'];

const boundaries = (rooms) => ({
  '@nx/enforce-module-boundaries': [
    'error',
    {
      depConstraints: Object.entries(rooms).map(([sourceTag, onlyDependOnLibsWithTags]) => ({
        sourceTag,
        onlyDependOnLibsWithTags,
        ...(PACKAGES[sourceTag] && { allowedExternalImports: PACKAGES[sourceTag] }),
      })),
      banTransitiveDependencies: true,
      // An app loads a store only when its settings ask for it; elsewhere the same one may be imported at once.
      checkDynamicDependenciesExceptions: ['.*'],
    },
  ],
});

/** Modules of Node that only compute; all others are I/O, or lead to it. */
const COMPUTING = new Set(['assert', 'buffer', 'crypto', 'string_decoder', 'url', 'util']);
const NODE_IO = builtinModules
  .map((name) => name.replace(/^node:/, ''))
  .filter((name) => !COMPUTING.has(name.split('/')[0]));
const NO_IO = {
  'no-restricted-imports': [
    'error',
    {
      paths: NODE_IO.flatMap((name) => [name, `node:${name}`]).map((name) => ({
        name,
        message: 'This room does no I/O: pass in what it needs.',
      })),
    },
  ],
  'no-restricted-globals': ['error', 'fetch', 'process', 'setTimeout', 'setInterval', 'setImmediate'],
};

const ENVIRONMENT = "Only an app's main.ts reads the environment: take the value as a parameter.";
const ONE_READER_OF_THE_ENVIRONMENT = {
  'no-restricted-properties': ['error', { object: 'process', property: 'env', message: ENVIRONMENT }],
  'no-restricted-imports': [
    'error',
    { paths: [{ name: 'node:process', importNames: ['env'], message: ENVIRONMENT }] },
  ],
};

const NO_BARREL = {
  selector: 'ExportAllDeclaration',
  message: 'A barrel hides the way: import from the file that has it.',
};

export default defineConfig([
  globalIgnores(['**/dist/', '**/fixtures/', '.nx/', '.embergate/', 'coverage/']),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      eqeqeq: 'error',
      'no-restricted-syntax': ['error', NO_BARREL],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-deprecated': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      // What was caught is unknown, and goes on as it is.
      '@typescript-eslint/only-throw-error': ['error', { allowThrowingUnknown: true }],
      // A function without `await` is async where its port returns a promise: it then rejects and never throws.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
    },
  },
  {
    files: ['**/*.mjs'],
    plugins: { '@typescript-eslint': tseslint.plugin },
    rules: { eqeqeq: 'error', '@typescript-eslint/no-unused-vars': 'error' },
  },
  {
    // These run on any Node from 18 on, before anything is installed.
    files: ['scripts/{install,start,test}.mjs', 'apps/cli/bin/*.mjs'],
    rules: {
      'no-restricted-imports': [
        'error',
        { patterns: [{ regex: '^(?!node:|\\./)', message: 'This runs before `npm ci`: Node only.' }] },
      ],
    },
  },
  {
    files: ['{apps,libs}/*/src/**/*.ts'],
    plugins: { '@nx': nx },
    rules: {
      ...boundaries(ROOMS),
      ...ONE_READER_OF_THE_ENVIRONMENT,
      'max-lines': ['error', { max: 300, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 50, skipBlankLines: true, skipComments: true }],
      'max-params': ['error', 3],
      'no-console': 'error',
    },
  },
  {
    files: COMPOSITION,
    // What is put together there is one list, in the order in which it starts.
    rules: { ...boundaries(IN_COMPOSITION), 'max-lines-per-function': 'off' },
  },
  { files: ['apps/*/src/main.ts', 'libs/testing/src/**/*.ts'], rules: { 'no-restricted-properties': 'off' } },
  { files: ['libs/{contracts,routing,client}/src/**/*.ts'], rules: NO_IO },
  { files: ['libs/client/src/**/*.ts'], rules: { 'no-restricted-globals': ['error', 'process'] } },
  {
    files: TESTS,
    plugins: { '@nx': nx },
    rules: {
      ...boundaries(IN_TESTS),
      'max-lines-per-function': 'off',
      // Answers are JSON, and asserting on them is what says what they are.
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  prettier,
]);
