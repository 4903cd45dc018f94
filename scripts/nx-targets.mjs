// What Nx can run in each room, said once for all of them: `npx nx affected -t vitest`.
// Lint is not here: one ESLint over everything is quicker than one for each of two rooms.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

export const createNodesV2 = [
  '{apps,libs}/*/package.json',
  (files, _options, { workspaceRoot }) =>
    files.map((file) => {
      const root = dirname(file);
      const hasTests = existsSync(join(workspaceRoot, root, 'test'));
      // Runs in the root, where the settings are. Not cached: it also depends on servers and models.
      const targets = hasTests ? { vitest: { command: 'vitest run {projectRoot}/', cache: false } } : {};
      return [file, { projects: { [root]: { targets } } }];
    }),
];
