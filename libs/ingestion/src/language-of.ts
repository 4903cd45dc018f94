import { GRAMMARS } from './grammars.ts';
import type { Grammar } from './grammars.ts';
import { MARKDOWN_EXTENSIONS, PLAIN_EXTENSIONS, PLAIN_FILE_NAMES } from './plain-languages.ts';

export interface FileLanguage {
  /** `text` where nothing is known. */
  language: string;
  /** Null for what is not chunked along its syntax. */
  grammar: Grammar | null;
}

const byExtension = new Map<string, Grammar>();
const byFileName = new Map<string, Grammar>();
const byInterpreter = new Map<string, Grammar>();
for (const grammar of GRAMMARS) {
  for (const extension of grammar.extensions) byExtension.set(extension, grammar);
  for (const name of grammar.fileNames ?? []) byFileName.set(name, grammar);
  for (const program of grammar.interpreters ?? []) byInterpreter.set(program, grammar);
}

/** The language of a file, from its name, then its extension, then its `#!` line. */
export function languageOf(path: string, text: string): FileLanguage {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const dot = name.lastIndexOf('.');
  const extension = dot >= 0 ? name.slice(dot + 1).toLowerCase() : '';

  const named = Object.hasOwn(PLAIN_FILE_NAMES, name) ? PLAIN_FILE_NAMES[name] : undefined;
  if (named !== undefined) return { language: named, grammar: null };
  if (MARKDOWN_EXTENSIONS.includes(extension)) return { language: 'markdown', grammar: null };
  if (extension === 'h') return known(byExtension.get(looksLikeCpp(text) ? 'cpp' : 'c'));

  const grammar = byFileName.get(name) ?? byExtension.get(extension);
  if (grammar) return known(grammar);
  const plain = Object.hasOwn(PLAIN_EXTENSIONS, extension) ? PLAIN_EXTENSIONS[extension] : undefined;
  if (plain !== undefined) return { language: plain, grammar: null };
  if (/^(Dockerfile|Containerfile)\./.test(name)) return { language: 'dockerfile', grammar: null };
  return known(byInterpreter.get(interpreterOf(text)));
}

const known = (grammar: Grammar | undefined): FileLanguage =>
  grammar ? { language: grammar.language, grammar } : { language: 'text', grammar: null };

/** Headers are shared by C and C++; a word that only C++ has decides. */
function looksLikeCpp(text: string): boolean {
  return /^\s*(class|namespace|template|using)\b|^\s*(public|private|protected)\s*:|\bstd::/m.test(text);
}

/** The program of a `#!` line without folder, `env` and version: `#!/usr/bin/env python3.11 -u` -> `python`. */
function interpreterOf(text: string): string {
  const words = /^#!\s*(\S+)(?:\s+(?:-\S+\s+)*(\S+))?/.exec(text.slice(0, 200));
  if (!words) return '';
  const program = (words[1] ?? '').split('/').pop() ?? '';
  const name = program === 'env' ? ((words[2] ?? '').split('/').pop() ?? '') : program;
  return name.replace(/[\d.]+$/, '');
}
