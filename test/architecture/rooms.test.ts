import { ESLint } from 'eslint';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..');
const ROOMS = globSync('{apps,libs}/*/package.json', { cwd: ROOT }).map((file) => dirname(file));

interface Manifest {
  name: string;
  nx?: { tags?: string[] };
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}
const manifestOf = (room: string): Manifest =>
  JSON.parse(readFileSync(join(ROOT, room, 'package.json'), 'utf8')) as Manifest;

/** The tags that have a line in the table of eslint.config.mjs. */
async function knownTags(): Promise<string[]> {
  const config = (await new ESLint({ cwd: ROOT }).calculateConfigForFile('libs/queue/src/names.ts')) as {
    rules: Record<string, [unknown, { depConstraints: { sourceTag: string }[] }]>;
  };
  const [, options] = config.rules['@nx/enforce-module-boundaries'] ?? [];
  return (options?.depConstraints ?? []).map(({ sourceTag }) => sourceTag);
}

test('every room says what it is, in words that the boundaries know', async () => {
  const known = await knownTags();
  expect(ROOMS.length).toBeGreaterThan(10);
  for (const room of ROOMS) {
    const tags = manifestOf(room).nx?.tags ?? [];
    expect(
      tags.filter((tag) => tag.startsWith('scope:')),
      room,
    ).toHaveLength(1);
    expect(known, room).toEqual(expect.arrayContaining(tags));
  }
});

test('apps and libraries are told apart by their folder and their tag', () => {
  for (const room of ROOMS) {
    const isApp = manifestOf(room).nx?.tags?.includes('scope:app') ?? false;
    expect(isApp, room).toBe(room.startsWith('apps'));
  }
});

test('ports and adapters name the port, and nothing else does', () => {
  for (const room of ROOMS) {
    const tags = manifestOf(room).nx?.tags ?? [];
    const hasPort = tags.includes('scope:port') || tags.includes('scope:adapter');
    expect(
      tags.some((tag) => tag.startsWith('port:')),
      room,
    ).toBe(hasPort);
  }
});

/** Rooms of ours that a folder's files import, `import()` included: `@embergate/queue` of `@embergate/queue/inbox.ts`. */
function importedRooms(folder: string): string[] {
  const files = globSync(`${folder}/**/*.ts`, { cwd: ROOT, exclude: (name) => name === 'fixtures' });
  const imported = files.flatMap(
    (file) => ts.preProcessFile(readFileSync(join(ROOT, file), 'utf8')).importedFiles,
  );
  const names = imported.map(({ fileName }) => /^@embergate\/[^/]+/.exec(fileName)?.[0]);
  return [...new Set(names.filter((name) => name !== undefined))];
}

test('every room declares the rooms that it imports, as npm and Nx read only package.json', () => {
  for (const room of ROOMS) {
    const { dependencies = {}, devDependencies = {} } = manifestOf(room);
    const inTests = Object.keys({ ...dependencies, ...devDependencies });
    expect(Object.keys(dependencies), room).toEqual(expect.arrayContaining(importedRooms(`${room}/src`)));
    expect(inTests, room).toEqual(expect.arrayContaining(importedRooms(`${room}/test`)));
  }
});
