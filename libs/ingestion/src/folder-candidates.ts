import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Candidate } from './candidates.ts';
import type { IgnoreRules } from './ignore-rules.ts';
import { folderVerdict } from './skip-names.ts';

/**
 * The files below `root` where git is of no use, in the order of whole paths. Repositories on the way are entered;
 * symbolic links are not followed, so that there are no cycles.
 */
export async function* folderCandidates(
  root: string,
  rules: IgnoreRules[],
  folder = '',
): AsyncGenerator<Candidate> {
  const entries = await listed(join(root, folder));
  if (!entries) {
    yield { path: folder, skip: 'unreadable' };
    return;
  }
  if (folder !== '' && entries.some((entry) => entry.name === 'pyvenv.cfg')) {
    yield { path: folder, skip: 'dependencies' };
    return;
  }
  for (const entry of entries) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (!entry.isDirectory()) {
      if (!(await isIgnored(rules, (one) => one.ignoresFile(path)))) yield { path };
      continue;
    }
    const verdict = folderVerdict(entry.name);
    if (verdict === 'silent' || (await isIgnored(rules, (one) => one.ignoresFolder(path)))) continue;
    if (verdict === 'dependencies') yield { path, skip: 'dependencies' };
    else yield* folderCandidates(root, rules, path);
  }
}

async function isIgnored(
  rules: IgnoreRules[],
  ask: (rules: IgnoreRules) => Promise<boolean>,
): Promise<boolean> {
  for (const one of rules) if (await ask(one)) return true;
  return false;
}

/** A folder's entries, folders sorted as if their name ended with `/`; null where it cannot be read. */
async function listed(folder: string): Promise<Dirent[] | null> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    const key = (entry: Dirent): string => (entry.isDirectory() ? `${entry.name}/` : entry.name);
    return entries.sort((a, b) => (key(a) < key(b) ? -1 : 1));
  } catch {
    return null;
  }
}
