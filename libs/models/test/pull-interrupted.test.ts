import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { verifyModel } from '../src/installed-model.ts';
import type { PullOptions } from '../src/pull-options.ts';
import {
  NO_HUB,
  NAME,
  SHARDS,
  ENTRY,
  repository,
  files,
  modelDir,
  catalogFile,
  catalog,
  hub,
  pull,
  find,
  revisionFolder,
  checkout,
  isFile,
  useHub,
} from './hub-bench.ts';

const child = join(import.meta.dirname, 'pull-checkout-child.ts');

useHub();

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
