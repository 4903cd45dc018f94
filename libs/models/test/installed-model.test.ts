import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { spaceId } from '@embergate/contracts/space.ts';
import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import { catalogModel, CATALOG } from '../src/catalog.ts';
import { nameOf, type EmbeddingModel } from '../src/catalog-schema.ts';
import { defaultModelDir, findModel, type InstalledModel } from '../src/installed-model.ts';
import { ensureModel } from '../src/prepare.ts';
import { MODEL, realModel } from './real-model.ts';

let real: InstalledModel;
let folder: string;
beforeAll(async () => {
  real = await realModel();
  folder = await mkdtemp(join(tmpdir(), 'embergate-installed-'));
});
afterAll(() => rm(folder, { recursive: true }));

test('a model that was never fetched is refused with the command that fetches it', async () => {
  await expect(findModel(MODEL, { modelDir: folder })).rejects.toMatchObject({
    code: 'model_not_installed',
    message: expect.stringContaining('npx embergate model pull all-MiniLM-L6-v2'),
  });
});

test('a built model is found by its folder as well as by its name', async () => {
  expect(await findModel(real.folder, { modelDir: folder })).toEqual(real);
  expect(await ensureModel(real.folder, { modelDir: folder })).toEqual(real);
});

test('what is neither a name nor a folder with a model is refused, never fetched', async () => {
  for (const name of ['no-such-model', folder, join(folder, 'none'), '', '\0']) {
    await expect(ensureModel(name, { modelDir: folder })).rejects.toMatchObject({
      code: expect.stringMatching(/model_not_found|model_damaged/),
    });
  }
});

test.each([
  ['is not JSON', (text: string) => text.slice(0, 50)],
  ['is of another version', (text: string) => text.replace('"manifestVersion": 1', '"manifestVersion": 99')],
  ['points outside its folder', (text: string) => text.replace('"model.onnx"', '"../model.onnx"')],
])('a manifest that %s is refused', async (_what, change) => {
  const other = join(folder, 'changed');
  await mkdir(other, { recursive: true });
  const manifest = await readFile(join(real.folder, 'embergate-model.json'), 'utf8');
  await writeFile(join(other, 'embergate-model.json'), change(manifest));
  await expect(findModel(other, { modelDir: folder })).rejects.toMatchObject({ code: 'model_damaged' });
});

test('models lie where the platform keeps what can be fetched again', () => {
  expect(defaultModelDir({ platform: 'linux', home: '/home/ada' })).toBe('/home/ada/.cache/embergate/models');
  expect(defaultModelDir({ platform: 'linux', home: '/home/ada', cacheHome: '/fast' })).toBe(
    '/fast/embergate/models',
  );
  expect(defaultModelDir({ platform: 'darwin', home: '/Users/ada' })).toBe(
    '/Users/ada/Library/Caches/embergate/models',
  );
});

test('the default model is in the catalog, and its space keeps its name', () => {
  expect(CATALOG.map(nameOf)).toContain(DEFAULT_MODEL);
  // Collections are stamped with this: a change makes every index of every user unreadable.
  expect(spaceId((catalogModel(DEFAULT_MODEL) as EmbeddingModel).space)).toBe('all-MiniLM-L6-v2@80dfba27');
});
