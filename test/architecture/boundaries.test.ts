import { ESLint } from 'eslint';
import { join } from 'node:path';
import tseslint from 'typescript-eslint';
import { describe, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..');

/** The project's own settings, without the rules that need types: the snippets are no files. */
const eslint = new ESLint({
  cwd: ROOT,
  overrideConfig: [
    { ...tseslint.configs.disableTypeChecked, files: ['**/*.ts'] },
    { files: ['**/*.ts'], languageOptions: { parserOptions: { projectService: false } } },
  ],
});

/** Why lint refuses these lines in that file: ids of messages; a line that can't be parsed gives its error. */
async function refusals({ file, source }: { file: string; source: string }): Promise<string[]> {
  const [result] = await eslint.lintText(`${source}\n`, { filePath: join(ROOT, file) });
  return (result?.messages ?? []).map(({ messageId, message }) => messageId ?? message);
}

interface Case {
  file: string;
  /** Imported and used. */
  uses?: string;
  /** Imported with `import()`. */
  loads?: string;
  source?: string;
}

const sourceOf = ({ uses, loads, source = '' }: Case): string => {
  if (uses !== undefined) return `import { it } from '${uses}';\nit();`;
  return loads === undefined ? source : `await import('${loads}');`;
};

/** By the reason that lint gives: a line refused for another reason, such as a wrong name, shows nothing. */
const REFUSED: Record<string, Record<string, Case>> = {
  onlyTagsConstraintViolation: {
    'an app imports another app': {
      file: 'apps/gateway/src/compose.ts',
      uses: '@embergate/app-worker/compose.ts',
    },
    'the command line imports an app': {
      file: 'apps/cli/src/up/services.ts',
      uses: '@embergate/app-gateway/app.ts',
    },
    'a library imports an app': {
      file: 'libs/retrieval/src/search.ts',
      uses: '@embergate/app-worker/compose.ts',
    },
    'a test imports an app instead of starting it': {
      file: 'libs/retrieval/test/search.test.ts',
      uses: '@embergate/app-worker/compose.ts',
    },
    'a route knows the queue': {
      file: 'apps/gateway/src/routes/search.ts',
      uses: '@embergate/queue/inbox.ts',
    },
    'a route loads a store': {
      file: 'apps/gateway/src/routes/search.ts',
      loads: '@embergate/vector-store-lancedb/lancedb-store.ts',
    },
    'an app outside compose.ts knows the runtime, if only its types': {
      file: 'apps/worker/src/device.ts',
      source:
        "import type { OnnxBackend } from '@embergate/embedding-onnx/onnx-backend.ts';\nexport type B = OnnxBackend;",
    },
    'a command knows the queue': {
      file: 'apps/cli/src/commands/jobs.ts',
      uses: '@embergate/queue/index-queue.ts',
    },
    'a library knows which store it is': {
      file: 'libs/ingestion/src/sweep.ts',
      uses: '@embergate/vector-store-qdrant/qdrant-store.ts',
    },
    'a library imports a library': {
      file: 'libs/retrieval/src/search.ts',
      uses: '@embergate/ingestion/chunk.ts',
    },
    'a port imports a library': {
      file: 'libs/embedding/src/batcher.ts',
      uses: '@embergate/models/catalog.ts',
    },
    'a port imports another port': {
      file: 'libs/embedding/src/batcher.ts',
      uses: '@embergate/vector-store/store.ts',
    },
    'an adapter imports its sister': {
      file: 'libs/vector-store-qdrant/src/points.ts',
      uses: '@embergate/vector-store-lancedb/sql.ts',
    },
    'an adapter imports the port of others': {
      file: 'libs/queue/src/inbox.ts',
      uses: '@embergate/vector-store/store.ts',
    },
    'a reranker knows how chunks are stored': {
      file: 'libs/rerank-chat/src/prompt.ts',
      uses: '@embergate/vector-store/store.ts',
    },
    'the client imports the platform': {
      file: 'libs/client/src/client.ts',
      uses: '@embergate/platform/logs.ts',
    },
    'a source uses what is there for tests': {
      file: 'apps/indexer/src/compose.ts',
      uses: '@embergate/testing/running-embergate.ts',
    },
  },
  emptyOnlyTagsConstraintViolation: {
    'contracts import a library': {
      file: 'libs/contracts/src/space.ts',
      uses: '@embergate/platform/logs.ts',
    },
    'the platform imports contracts': {
      file: 'libs/platform/src/logs.ts',
      uses: '@embergate/contracts/errors.ts',
    },
  },
  noCircularDependencies: {
    'a port imports its adapter': {
      file: 'libs/vector-store/src/store.ts',
      uses: '@embergate/vector-store-lancedb/sql.ts',
    },
  },
  noRelativeOrAbsoluteImportsAcrossLibraries: {
    'an app reaches into the folder of another': {
      file: 'apps/gateway/src/compose.ts',
      uses: '../../worker/src/compose.ts',
    },
  },
  bannedExternalImportsViolation: {
    'contracts import Redis': { file: 'libs/contracts/src/space.ts', uses: 'ioredis' },
    'contracts load Express': { file: 'libs/contracts/src/space.ts', loads: 'express' },
  },
  noTransitiveDependencies: {
    'a room uses a package that only another room declares': {
      file: 'libs/retrieval/src/fuse.ts',
      uses: 'bullmq',
    },
  },
  pathWithCustomMessage: {
    'contracts read files': { file: 'libs/contracts/src/space.ts', uses: 'node:fs/promises' },
    'contracts read files by the old name': { file: 'libs/contracts/src/space.ts', uses: 'fs' },
    'contracts open sockets': { file: 'libs/contracts/src/space.ts', uses: 'node:net' },
    'contracts start processes': { file: 'libs/contracts/src/space.ts', uses: 'node:child_process' },
    'the client reads files': { file: 'libs/client/src/client.ts', uses: 'node:fs' },
  },
  defaultMessage: {
    'contracts call a server': { file: 'libs/contracts/src/space.ts', source: "await fetch('/');" },
  },
  restrictedObjectProperty: {
    'a library reads the environment': {
      file: 'libs/queue/src/names.ts',
      source: "export const url = process.env['REDIS_URL'];",
    },
    'an app reads it beside main.ts': {
      file: 'apps/worker/src/compose.ts',
      source: 'export const { PATH } = process.env;',
    },
  },
  importNameWithCustomMessage: {
    'a library imports the environment': {
      file: 'libs/queue/src/names.ts',
      source: "import { env } from 'node:process';\nexport const url = env['REDIS_URL'];",
    },
  },
  restrictedSyntax: {
    'a folder gets a barrel': { file: 'libs/queue/src/index.ts', source: "export * from './inbox.ts';" },
  },
  patternWithCustomMessage: {
    'npm start needs a package before npm ci has run': { file: 'scripts/start.mjs', uses: 'zod' },
  },
};

const ALLOWED: Record<string, Case> = {
  'an app composes its adapters in parts': {
    file: 'apps/worker/src/compose-remote.ts',
    uses: '@embergate/queue/inbox.ts',
  },
  'an app composes its adapters': { file: 'apps/gateway/src/compose.ts', uses: '@embergate/queue/inbox.ts' },
  'an app loads the store that its settings name': {
    file: 'apps/gateway/src/compose.ts',
    loads: '@embergate/vector-store-qdrant/qdrant-store.ts',
  },
  'embergate up starts a queue server': {
    file: 'apps/cli/src/up/services.ts',
    uses: '@embergate/queue/redis-server.ts',
  },
  'a route sees the port': {
    file: 'apps/gateway/src/routes/search.ts',
    uses: '@embergate/vector-store/store.ts',
  },
  'a library sees the port': {
    file: 'libs/retrieval/src/search.ts',
    uses: '@embergate/vector-store/store.ts',
  },
  'an adapter fills its port': {
    file: 'libs/vector-store-qdrant/src/points.ts',
    uses: '@embergate/vector-store/store.ts',
  },
  'contracts declare schemas': { file: 'libs/contracts/src/space.ts', uses: 'zod' },
  'contracts hash': { file: 'libs/contracts/src/space.ts', uses: 'node:crypto' },
  'main.ts reads the environment': {
    file: 'apps/worker/src/main.ts',
    source: "export const url = process.env['REDIS_URL'];",
  },
  'a test of a library uses a real store': {
    file: 'libs/retrieval/test/search.test.ts',
    uses: '@embergate/vector-store-lancedb/lancedb-store.ts',
  },
};

describe('lint refuses that', () => {
  const cases = Object.entries(REFUSED).flatMap(([why, titled]) =>
    Object.entries(titled).map(([title, refused]) => ({ title, why, refused })),
  );
  test.each(cases)('$title', async ({ why, refused }) => {
    expect(await refusals({ file: refused.file, source: sourceOf(refused) })).toContain(why);
  });
});

describe('lint allows that', () => {
  test.each(Object.entries(ALLOWED))('%s', async (_title, allowed) => {
    expect(await refusals({ file: allowed.file, source: sourceOf(allowed) })).toEqual([]);
  });
});
