import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { walkSource } from '../src/walk.ts';
import type { WalkedFile, WalkOptions } from '../src/walk.ts';

/** A folder on disk for one test. */
export interface SourceTree {
  root: string;
  /** Writes files; a path's folders are made. */
  write(files: Record<string, string | Buffer>): Promise<void>;
  git(...args: string[]): void;
  remove(): Promise<void>;
}

export async function createTree(files: Record<string, string | Buffer> = {}): Promise<SourceTree> {
  const root = await mkdtemp(join(tmpdir(), 'embergate-walk-'));
  const tree: SourceTree = {
    root,
    async write(more) {
      for (const [path, content] of Object.entries(more)) {
        await mkdir(dirname(join(root, path)), { recursive: true });
        await writeFile(join(root, path), content);
      }
    },
    git(...args) {
      const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' };
      const identity = ['-c', 'user.name=a', '-c', 'user.email=a@example.org'];
      execFileSync('git', ['-C', root, ...identity, ...args], { env, stdio: 'pipe' });
    },
    remove: () => rm(root, { recursive: true, force: true }),
  };
  await tree.write(files);
  return tree;
}

export interface Walked {
  files: WalkedFile[];
  paths: string[];
  /** path -> reason */
  skipped: Record<string, string>;
}

export async function walked(root: string, options: WalkOptions = {}): Promise<Walked> {
  const found: Walked = { files: [], paths: [], skipped: {} };
  for await (const entry of walkSource(root, options)) {
    if (entry.kind === 'skipped') {
      found.skipped[entry.path] = entry.reason;
    } else {
      found.files.push(entry);
      found.paths.push(entry.path);
    }
  }
  return found;
}
