import { spaceId } from '@embergate/contracts/space.ts';
import { startModelHub } from '@embergate/testing/model-hub.ts';
import { cp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { keptCheckout } from '../src/checkout-store.ts';
import { findModel, verifyModel } from '../src/installed-model.ts';
import { readCatalog } from '../src/own-catalog.ts';
import { ensureModel } from '../src/prepare.ts';
import { pullCheckout, pullVariants } from '../src/pull.ts';
import type { PullPlan } from '../src/pull-options.ts';
import {
  NO_HUB,
  NAME,
  REVISION,
  SHARDS,
  ENTRY,
  repository,
  files,
  modelDir,
  catalogFile,
  hubs,
  catalog,
  hub,
  pull,
  find,
  revisionFolder,
  checkout,
  there,
  sha256,
  manifestOf,
  changed,
  useHub,
} from './hub-bench.ts';

useHub();

describe('a model of the hub', () => {
  it('is fetched by the list of its commit and built under the catalog’s name, space and prompts', async () => {
    const server = await hub({ pageSize: 3 });
    const plans: PullPlan[] = [];
    const seen: number[] = [];
    const installed = await pull({
      hubUrl: server.url,
      onPlan: (plan) => plans.push(plan),
      onProgress: ({ overall }) => seen.push(overall.bytes / overall.totalBytes),
    });
    expect(installed).toMatchObject({ name: NAME, variant: 'int8', space: ENTRY.space, maxTokens: 1_000 });
    expect(installed.folder).toBe(join(revisionFolder(), 'int8'));
    await verifyModel(installed);
    expect(await find()).toEqual(installed);
    // Neither pickle nor code nor anything else that a model isn't built from.
    expect(server.fetched().sort()).toEqual(files);
    const size = async (path: string) => (await stat(join(repository, path))).size;
    const bytes = (await Promise.all(files.map(size))).reduce((sum, each) => sum + each, 0);
    expect(plans).toEqual([{ fetchBytes: bytes, builds: { int8: 50_780_000 }, folder: checkout() }]);
    expect(seen.at(-1)).toBe(1);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    // What was read stands in the manifest, and takes no place any more.
    const { origin } = await manifestOf(installed.folder);
    for (const path of files)
      expect(origin).toContainEqual({
        path,
        bytes: await size(path),
        sha256: await sha256(join(repository, path)),
      });
    expect(await readdir(revisionFolder())).toEqual(['int8']);
  });

  it('has several variants side by side out of one download, and each is found by name', async () => {
    const server = await hub();
    const options = { modelDir, catalogFile, hubUrl: server.url };
    const both = await pullVariants(NAME, { ...options, variants: ['int4', 'fp32'] });
    expect(both.map(({ variant }) => variant)).toEqual(['int4', 'fp32']);
    expect(new Set(both.map(({ space }) => spaceId(space))).size).toBe(1);
    expect(server.fetched()).toHaveLength(files.length);
    expect((await find('fp32')).variant).toBe('fp32');
    // int8 is the catalog's for a CPU, and not here: the first one that is.
    expect((await find()).variant).toBe('int4');
    expect((await findModel(NAME, { modelDir, catalogFile, device: 'gpu' })).variant).toBe('fp32');
    await expect(find('int8')).rejects.toMatchObject({
      code: 'model_not_installed',
      message: expect.stringContaining('model pull tiny-code --variant int8'),
    });
    await expect(find('int2')).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining('int4, int8, fp32'),
    });
  });

  it('that is installed and whole is not fetched again, and a damaged one is', async () => {
    const server = await hub();
    const installed = await pull({ hubUrl: server.url });
    await pull({ hubUrl: NO_HUB });
    await ensureModel(NAME, { modelDir, catalogFile, hubUrl: NO_HUB });
    const weights = join(installed.folder, 'weights.bin');
    const content = await readFile(weights);
    content[100]! ^= 1;
    await writeFile(weights, content);
    await expect(verifyModel(installed)).rejects.toMatchObject({ code: 'checksum_mismatch' });
    await verifyModel(await pull({ hubUrl: server.url }));
  });

  it('is built anew where the entry describes another space than it was built for', async () => {
    const server = await hub();
    const before = await pull({ hubUrl: server.url });
    await catalog({ ...ENTRY, space: { ...ENTRY.space, prompts: { query: 'other: ', document: '' } } });
    await expect(find()).rejects.toMatchObject({ code: 'model_damaged' });
    const after = await ensureModel(NAME, { modelDir, catalogFile, hubUrl: server.url });
    expect(spaceId(after.space)).not.toBe(spaceId(before.space));
  });

  it('that makes other vectors than the entry says is refused', async () => {
    await catalog({ ...ENTRY, space: { ...ENTRY.space, dimensions: 64 } });
    await expect(pull({ hubUrl: (await hub()).url })).rejects.toMatchObject({
      code: 'model_damaged',
      message: expect.stringContaining('its dimensions is 128, the catalog says 64'),
    });
    await expect(find()).rejects.toMatchObject({ code: 'model_not_installed' });
  });

  it('that is a reranker is fetched and kept, and makes no vectors', async () => {
    const { license, maxTokens, sources } = ENTRY;
    await catalog({ kind: 'reranker', name: NAME, revision: REVISION, license, maxTokens, sources });
    const server = await hub();
    const fetched = await pullCheckout(NAME, { modelDir, catalogFile, hubUrl: server.url });
    expect(fetched.folder).toBe(checkout());
    expect(fetched.files.map(({ path }) => path).sort()).toEqual(files);
    await expect(find()).rejects.toMatchObject({ code: 'config_invalid' });
    await expect(pull()).rejects.toMatchObject({ code: 'config_invalid' });
  });
});

describe('a kept checkout', () => {
  it('serves other variants with no hub in reach, and stays until it is deleted', async () => {
    await pull({ hubUrl: (await hub()).url, keepCheckout: true });
    await pull({ variants: ['int4'] });
    expect((await find('int4')).variant).toBe('int4');
    expect(await there(join(checkout(), SHARDS[0]))).toBe(true);
    await rm(checkout(), { recursive: true });
    await expect(pull({ variants: ['fp32'], isOffline: true })).rejects.toMatchObject({
      code: 'model_not_installed',
      message: expect.stringContaining('--keep-checkout'),
    });
  });

  it('in which a file has changed is repaired from the hub, and only that file fetched', async () => {
    const server = await hub();
    await pull({ hubUrl: server.url, keepCheckout: true });
    await writeFile(join(checkout(), SHARDS[0]), await changed(SHARDS[0]));
    await pull({ hubUrl: server.url, variants: ['int4'] });
    expect(server.fetched().slice(files.length)).toEqual([SHARDS[0]]);
  });

  it('is listed while another pull renames and removes what is in it', async () => {
    await pull({ hubUrl: (await hub()).url, keepCheckout: true });
    // What a directory still names and is no longer there.
    await symlink('gone', join(checkout(), '.gone.part'));
    const [model] = (await readCatalog(catalogFile)).slice(-1);
    expect(await keptCheckout(modelDir, model!)).toMatchObject({ complete: true });
  });

  it('is what a plain mirror serves, and its vectors share the space', async () => {
    const first = await pull({ hubUrl: (await hub()).url, keepCheckout: true });
    const site = join(modelDir, 'site');
    await cp(checkout(), join(site, NAME, REVISION), { recursive: true });
    // A web server for files, which knows nothing of hubs.
    const plain = await startModelHub({
      folder: site,
      repository: 'none/none',
      revision: 'none',
      interfere: (request, response) => {
        if (request.path.startsWith('/storage/')) return false;
        response.writeHead(302, { location: `/storage${request.path}` }).end();
        return true;
      },
    });
    hubs.push(plain);
    await rm(join(modelDir, NAME), { recursive: true });
    const second = await pull({ mirrorUrl: plain.url });
    expect(spaceId(second.space)).toBe(spaceId(first.space));
    expect((await manifestOf(second.folder)).files).toEqual((await manifestOf(first.folder)).files);
  });
});
