import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { AppError } from '@embergate/contracts/errors.ts';
import { Language, Parser } from 'web-tree-sitter';
import type { Tree } from 'web-tree-sitter';

/**
 * Parsing is given up after this many progress reports of the parser, plus some a character. Counting work instead of
 * time makes the outcome the same on every machine, so that a re-index finds the same chunks.
 */
const BASE_REPORTS = 2_000;
/** Code takes 0.002 to 0.008, dense data 0.05, text made to confuse the parser up to 0.1 (0.1 ms a report). */
const REPORTS_PER_CHARACTER = 0.06;
/** The last resort, for work that is slow and reports seldom; of processor time, as a busy machine shall cut no file in another way. */
const MAX_PARSE_MS = 10_000;

/**
 * V8's second compiler for WebAssembly takes 0.5 GB for the lexer of a large grammar (C, Bash). Without it Python's library is chunked with
 * 144 instead of 693 MB, in half as long again (ADR 39). NODE_OPTIONS does not take these.
 */
const COMPILER_FLAGS = ['--no-wasm-tier-up', '--no-wasm-dynamic-tiering'];

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

/** By file. The runtime cannot unload one: pools that each loaded their own would fill its memory. */
const languages = new Map<string, Promise<Language>>();

/** Grammars of tree-sitter, each loaded when its first file comes, and the one parser that uses them in turn. */
export class GrammarPool {
  readonly #folder: string;
  /** Of the grammars and of what runs them. */
  readonly version: string;
  #parser: Parser | null = null;

  private constructor(folder: string, version: string) {
    this.#folder = folder;
    this.version = version;
  }

  static async open(): Promise<GrammarPool> {
    for (const flag of COMPILER_FLAGS) setFlagsFromString(flag);
    await Parser.init();
    const require = createRequire(import.meta.url);
    const manifest = require.resolve('@vscode/tree-sitter-wasm/package.json');
    const manifests = [manifest, join(dirname(require.resolve('web-tree-sitter')), 'package.json')];
    const versions = manifests.map((one) => (require(one) as { version: string }).version);
    return new GrammarPool(join(dirname(manifest), 'wasm'), versions.join(' '));
  }

  /**
   * Parses `text` and hands the tree to `use`, which must not keep it: its memory is freed before this returns.
   * Null when parsing took too much work or broke down; the caller does without syntax then.
   */
  async withTree<T>(wasm: string, text: string, use: (tree: Tree) => T): Promise<T | null> {
    const language = await this.#load(wasm);
    // Nothing below awaits, so that concurrent callers can share the parser.
    const tree = this.#parse(language, text);
    if (!tree) return null;
    try {
      return use(tree);
    } finally {
      tree.delete();
    }
  }

  close(): void {
    this.#parser?.delete();
    this.#parser = null;
  }

  #load(wasm: string): Promise<Language> {
    const file = join(this.#folder, `tree-sitter-${wasm}.wasm`);
    let language = languages.get(file);
    if (!language) {
      language = Language.load(file).catch((cause: unknown) => {
        languages.delete(file);
        throw new AppError('internal', `The grammar ${file} cannot be loaded: run npm ci again`, { cause });
      });
      languages.set(file, language);
    }
    return language;
  }

  #parse(language: Language, text: string): Tree | null {
    this.#parser ??= new Parser();
    let reports = 0;
    const maxReports = BASE_REPORTS + text.length * REPORTS_PER_CHARACTER;
    const startedAt = cpuMs();
    const progressCallback = (): boolean => {
      reports += 1;
      return reports > maxReports || cpuMs() - startedAt > MAX_PARSE_MS;
    };
    try {
      this.#parser.setLanguage(language);
      const tree = this.#parser.parse(text, null, { progressCallback });
      if (!tree) this.#parser.reset();
      return tree;
    } catch {
      // A trap inside the grammar: this parser's state is unknown, the next file gets a new one.
      this.#parser = null;
      return null;
    }
  }
}
