import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Language } from 'web-tree-sitter';
import { createChunker } from '../src/chunk.ts';
import type { Chunker } from '../src/chunk.ts';

// Small enough that the classes of the fixtures have to be cut.
const MAX_CHARS = 360;

let chunker: Chunker;
beforeAll(async () => {
  chunker = await createChunker({ maxChars: MAX_CHARS });
});
afterAll(() => chunker.close());

/** One row a chunk: kind, symbol, first and last line. */
type Outline = [string | null, string, number, number];

const outlines: Record<string, { language: string; chunks: Outline[] }> = {
  'server.ts': {
    language: 'typescript',
    chunks: [
      [null, '', 1, 3],
      ['interface', 'Request', 5, 10],
      ['class', 'HttpServer', 12, 15],
      ['method', 'HttpServer.close', 17, 23],
      ['method', 'HttpServer.onRequest', 25, 30],
      ['function', 'retry', 32, 36],
      ['function', 'main', 38, 42],
    ],
  },
  'panel.tsx': {
    language: 'typescript',
    chunks: [
      [null, '', 1, 1],
      ['function', 'Panel', 3, 10],
      ['function', 'Row', 12, 16],
    ],
  },
  'store.js': {
    language: 'javascript',
    chunks: [
      [null, '', 1, 1],
      ['class', 'Store', 3, 15],
      ['function', 'module.exports.open', 17, 21],
      ['constant', 'handlers', 23, 33],
    ],
  },
  'queue.py': {
    language: 'python',
    chunks: [
      [null, '', 1, 5],
      ['class', 'Queue', 8, 11],
      ['method', 'Queue.size', 13, 17],
      ['method', 'Queue.put', 19, 23],
      [null, '', 26, 28],
      ['function', 'fast_queue', 29, 33],
      ['function', 'drain', 36, 39],
    ],
  },
  'server.go': {
    language: 'go',
    chunks: [
      [null, '', 1, 5],
      ['type', 'Server', 7, 12],
      ['method', 'Server.Close', 14, 20],
      ['function', 'New', 22, 26],
    ],
  },
  'shapes.rs': {
    language: 'rust',
    chunks: [
      [null, '', 1, 1],
      ['class', 'Circle', 3, 8],
      ['class', 'Circle', 10, 22],
      ['function', 'tests.a_circle_has_an_area', 24, 30],
      ['function', 'tests.a_circle_has_an_area', 31, 35],
    ],
  },
  'Account.java': {
    language: 'java',
    chunks: [
      [null, '', 1, 3],
      ['class', 'Account', 5, 7],
      ['method', 'Account.Account', 9, 13],
      ['method', 'Account.withdraw', 15, 21],
      ['enum', 'Account.Currency', 23, 27],
    ],
  },
  'list.c': {
    language: 'c',
    chunks: [
      [null, '', 1, 3],
      ['type', 'list_t', 5, 9],
      [null, '', 11, 11],
      ['function', 'grow', 13, 18],
      ['function', 'list_push', 20, 24],
    ],
  },
  'socket.cpp': {
    language: 'cpp',
    chunks: [
      [null, '', 1, 3],
      ['class', 'Socket', 5, 21],
      ['function', 'Socket.attach', 23, 30],
    ],
  },
  'Basket.cs': {
    language: 'csharp',
    chunks: [
      [null, '', 1, 4],
      ['class', 'Basket', 5, 8],
      ['method', 'Basket.Basket', 10, 13],
      ['method', 'Basket.Add', 15, 21],
      ['interface', 'IItem', 23, 28],
    ],
  },
  'mailer.rb': {
    language: 'ruby',
    chunks: [
      [null, '', 1, 1],
      ['class', 'Mail.Mailer', 3, 5],
      ['method', 'Mail.Mailer.deliver', 7, 12],
      ['method', 'Mail.Mailer.open', 14, 18],
      ['method', 'Mail.Mailer.connect', 20, 26],
    ],
  },
  'Router.php': {
    language: 'php',
    chunks: [
      [null, '', 1, 5],
      ['class', 'Router', 7, 10],
      ['method', 'Router.match', 12, 16],
      ['method', 'Router.compile', 18, 23],
      ['function', 'route', 25, 29],
    ],
  },
  'deploy.sh': {
    language: 'shell',
    chunks: [
      [null, '', 1, 2],
      ['function', 'build', 4, 9],
      ['function', 'roll_out', 11, 16],
      [null, '', 18, 18],
    ],
  },
  'guide.md': {
    language: 'markdown',
    chunks: [
      [null, '', 1, 5],
      ['section', 'Install > With Docker', 7, 16],
      ['section', 'Install > From source', 18, 20],
      ['section', 'Usage', 22, 25],
      ['section', 'Usage > Filters here', 27, 29],
    ],
  },
};

test.each(Object.entries(outlines))(
  '%s is cut into its definitions, each with its comment',
  async (file, expected) => {
    const text = await readFile(join(import.meta.dirname, 'fixtures', file), 'utf8');
    const chunks = await chunker.chunk({ path: `src/${file}`, text });
    const lines = text.split('\n');
    expect(chunks.map(({ kind, symbol, startLine, endLine }) => [kind, symbol, startLine, endLine])).toEqual(
      expected.chunks,
    );
    for (const chunk of chunks) {
      expect(chunk.language).toBe(expected.language);
      expect(chunk.text).toBe(lines.slice(chunk.startLine - 1, chunk.endLine).join('\n'));
      expect(chunk.text.length).toBeLessThanOrEqual(MAX_CHARS);
    }
  },
);

const signatures: [string, string, string][] = [
  ['server.ts', 'HttpServer.close', 'async close(timeout: number): Promise<void>'],
  ['server.ts', 'retry', 'export const retry = async (work: () => Promise<void>): Promise<void>'],
  ['queue.py', 'Queue.size', '@property def size(self)'],
  ['server.go', 'Server.Close', 'func (s *Server[T]) Close() error'],
  ['socket.cpp', 'Socket.attach', 'template <typename T> T* Socket::attach(T* listener)'],
  ['Router.php', 'Router.match', 'public function match(Request $request): ?Handler'],
];

test.each(signatures)(
  'in %s the signature of %s is its head on one line',
  async (file, symbol, signature) => {
    const text = await readFile(join(import.meta.dirname, 'fixtures', file), 'utf8');
    const chunks = await chunker.chunk({ path: file, text });
    expect(chunks.find((chunk) => chunk.symbol === symbol)?.signature).toBe(signature);
  },
);

const names: [string, string, string][] = [
  ['bin/tool', '#!/usr/bin/env python3.11 -u\nprint(1)\n', 'python'],
  ['bin/run', '#!/bin/bash -e\ntrue\n', 'shell'],
  ['bin/cli', '#!/usr/bin/env -S node --no-warnings\nmain();\n', 'javascript'],
  ['Rakefile', 'task :test\n', 'ruby'],
  ['include/list.h', 'struct list;\n', 'c'],
  ['include/socket.h', 'namespace net {}\n', 'cpp'],
  ['Dockerfile', 'FROM scratch\n', 'dockerfile'],
  ['config/app.yml', 'a: 1\n', 'yaml'],
  ['App.KT', 'fun main() {}\n', 'kotlin'],
  ['LICENSE', 'Do what you like.\n', 'text'],
  ['constructor', 'not a property of Object\n', 'text'],
];

test.each(names)('%s is recognised', async (path, text, language) => {
  expect((await chunker.chunk({ path, text })).map((chunk) => chunk.language)).toEqual([language]);
});

test('a second chunker of the process loads no grammar again, as none can be unloaded', async () => {
  const text = await readFile(join(import.meta.dirname, 'fixtures', 'server.ts'), 'utf8');
  const before = await chunker.chunk({ path: 'server.ts', text });
  const load = vi.spyOn(Language, 'load');
  const second = await createChunker({ maxChars: MAX_CHARS });
  try {
    expect(await second.chunk({ path: 'server.ts', text })).toEqual(before);
    expect(load).not.toHaveBeenCalled();
  } finally {
    load.mockRestore();
    second.close();
  }
});
