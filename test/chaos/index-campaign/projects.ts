import { writeFiles } from '@embergate/testing/sample-project.ts';
import { join } from 'node:path';

/** Two states of one project. A quarter of their files are the same. */
export type ProjectState = 'before' | 'after';

/** Stands in every chunk that only one of the states has; one term of the full-text search. */
export const MARKER = { before: 'markerbefore', after: 'markerafter' } as const;

/** Where all files of the project are that only one of the states has. */
export const MARKED_FOLDER = 'marked';

/** Files of the same contents in both states, be it at another path. */
export const isShared = (path: string): boolean => !path.startsWith(`${MARKED_FOLDER}/`);

const MOVED_FOLDER = 'moved';

/** Files that the other state has at another path: their vectors follow them. */
export const isMoved = (path: string): boolean => path.startsWith(`${MOVED_FOLDER}/`);

/**
 * Writes both states into folders of their own: one chunk a file, every one another text. Of `files` a quarter are the same in both, a
 * quarter have other contents, a quarter are there in one of them only, and a quarter are moved.
 * @returns their folders.
 */
export async function writeProjects(root: string, files: number): Promise<Record<ProjectState, string>> {
  const folders = { before: join(root, 'before'), after: join(root, 'after') };
  for (const state of ['before', 'after'] as const) {
    const contents = Array.from({ length: files }, (_, n): [path: string, content: string] => {
      if (n % 4 === 0) return [`same/same_${n}.py`, functionOf(n, 'same')];
      if (n % 4 === 3) return [`${MOVED_FOLDER}/${state}/moved_${n}.py`, functionOf(n, 'moved')];
      const name = n % 4 === 1 ? 'changed' : state;
      return [`${MARKED_FOLDER}/${name}_${n}.py`, functionOf(n, MARKER[state])];
    });
    await writeFiles(folders[state], Object.fromEntries(contents));
  }
  return folders;
}

function functionOf(n: number, word: string): string {
  const lines = Array.from(
    { length: 4 },
    (_, line) => `    total_${line} = values[${n % 97}] * offsets[${(n * 7 + line) % 89}] + weights[${line}]`,
  );
  return `def compute_${n}(values, offsets, weights):\n    # ${word}\n${lines.join('\n')}\n    return total_0\n`;
}
