import { join } from 'node:path';
import ignore from 'ignore';
import { readSource } from './read-source.ts';

const MAX_RULE_FILE_BYTES = 1_024 * 1_024;

type Rules = ReturnType<typeof ignore>;

/**
 * The rules of one kind of ignore file (`.gitignore`, `.embergateignore`) in a folder and all folders below it, with
 * git's meaning: the deepest file that has something to say decides, and nothing inside an ignored folder comes back.
 * One difference: a folder that an outer file ignores and an inner one takes back stays empty.
 */
export class IgnoreRules {
  readonly #root: string;
  readonly #fileName: string;
  readonly #rules = new Map<string, Promise<Rules | null>>();
  readonly #folders = new Map<string, Promise<boolean>>();

  constructor(root: string, fileName: string) {
    this.#root = root;
    this.#fileName = fileName;
  }

  /** `path` is relative to the root with `/` separators. */
  async ignoresFile(path: string): Promise<boolean> {
    return (await this.ignoresFolder(parentOf(path))) || this.#judge(path, path);
  }

  /** The root itself (`''`) is never ignored. */
  ignoresFolder(path: string): Promise<boolean> {
    if (path === '') return Promise.resolve(false);
    let verdict = this.#folders.get(path);
    if (!verdict) {
      verdict = this.ignoresFolder(parentOf(path)).then((outer) => outer || this.#judge(path, `${path}/`));
      this.#folders.set(path, verdict);
    }
    return verdict;
  }

  /** Asks the files from the path's own folder up to the root; `tested` is the path as the rules want it. */
  async #judge(path: string, tested: string): Promise<boolean> {
    for (let folder = path; folder !== '';) {
      folder = parentOf(folder);
      const rules = await this.#load(folder);
      if (!rules) continue;
      const result = rules.test(folder === '' ? tested : tested.slice(folder.length + 1));
      if (result.ignored) return true;
      if (result.unignored) return false;
    }
    return false;
  }

  #load(folder: string): Promise<Rules | null> {
    let rules = this.#rules.get(folder);
    if (!rules) {
      rules = this.#read(folder);
      this.#rules.set(folder, rules);
    }
    return rules;
  }

  async #read(folder: string): Promise<Rules | null> {
    const read = await readSource(join(this.#root, folder, this.#fileName), MAX_RULE_FILE_BYTES);
    // Git compares case-sensitively where the file system does.
    return read.outcome === 'text' ? ignore({ ignorecase: false }).add(read.text) : null;
  }
}

/** `a/b/c` -> `a/b`, `a` -> ``. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '' : path.slice(0, slash);
}
