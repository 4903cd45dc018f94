import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { NewFolder } from '../src/new-folder.ts';

let parent: string;
let place: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'embergate-folder-'));
  place = join(parent, 'model');
});
afterEach(() => rm(parent, { recursive: true, force: true }));

const fill = (folder: string, text: string): Promise<void> => writeFile(join(folder, 'file'), text);
const inPlace = (): Promise<string> => readFile(join(place, 'file'), 'utf8');
/** The number of a process that has ended. */
const deadPid = (): number => spawnSync(process.execPath, ['-e', '']).pid;

it('takes its place when it is complete, and what was there stays until then', async () => {
  await mkdir(place);
  await fill(place, 'old');
  const folder = await NewFolder.make(place);
  await fill(folder.path, 'new');
  expect(await inPlace()).toBe('old');
  await folder.takePlace();
  expect(await inPlace()).toBe('new');
  expect(await readdir(parent)).toEqual(['model']);
});

it('dropped, leaves the place as it was', async () => {
  const folder = await NewFolder.make(place);
  await fill(folder.path, 'half');
  await folder.drop();
  expect(await readdir(parent)).toEqual([]);
});

it('that cannot take its place puts back what was there', async () => {
  await mkdir(place);
  await fill(place, 'old');
  const folder = await NewFolder.make(place);
  await folder.drop();
  await expect(folder.takePlace()).rejects.toMatchObject({ code: 'ENOENT' });
  expect(await inPlace()).toBe('old');
});

it('clears what killed processes left, and nothing of those that run or of others', async () => {
  const left = `.model.${deadPid()}.0badcafe.new`;
  const others = [`.model.${process.pid}.0badcafe.new`, '.model.notes', '.models.1.0badcafe.new'];
  for (const name of [left, ...others]) await mkdir(join(parent, name));
  await (await NewFolder.make(place)).drop();
  expect((await readdir(parent)).toSorted()).toEqual(others.toSorted());
});

it('brings back what a process took away that was killed before it put the new one there', async () => {
  const old = join(parent, `.model.${deadPid()}.0badcafe.old`);
  await mkdir(old);
  await fill(old, 'old');
  await (await NewFolder.make(place)).drop();
  expect(await inPlace()).toBe('old');
});
