import { cutVectors } from '@embergate/embedding/matryoshka.ts';
import { startModelHub, type ModelHub } from '@embergate/testing/model-hub.ts';
import { SMALL_QWEN2 } from '@embergate/testing/random-architectures.ts';
import { writeRandomCheckpoint } from '@embergate/testing/random-checkpoint.ts';
import { RunningEmbergate, runEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { writeSampleProject } from '@embergate/testing/sample-project.ts';
import { copyFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';

const TOKENIZER = join(import.meta.dirname, '../../libs/models/test/reference/bpe-tokenizer.json');
const REVISION = '89abcdef0123456789abcdef0123456789abcdef';
const NAME = 'acme-code';

/** A model with random weights on a hub of this machine: its vectors mean nothing, but each text has one of its own. */
describe('a model of one’s own catalog, pulled from a hub', () => {
  let home: Awaited<ReturnType<typeof temporaryFolder>>;
  let hub: ModelHub;
  let embergate: RunningEmbergate;
  let env: NodeJS.ProcessEnv;

  beforeAll(async () => {
    home = await temporaryFolder('pulled');
    const repository = join(home.path, 'repository');
    // All ids of that tokenizer are in it.
    const shape = { ...SMALL_QWEN2, vocabulary: 1_024 };
    await writeRandomCheckpoint(repository, { shape, type: 'BF16', shards: 2 });
    await copyFile(TOKENIZER, join(repository, 'tokenizer.json'));
    await writeFile(join(repository, 'pytorch_model.bin'), 'pickle');
    hub = await startModelHub({ folder: repository, repository: 'acme/code', revision: REVISION });
    const entry = {
      kind: 'embedding',
      space: {
        model: NAME,
        revision: REVISION,
        dimensions: shape.hidden,
        pooling: 'last',
        normalize: true,
        prompts: { query: 'find: ', document: '' },
      },
      license: 'MIT',
      maxTokens: 2_000,
      parameters: 700_000,
      downloadBytes: 1_300_000,
      variants: ['int8', 'int4'],
      defaultVariant: { cpu: 'int8', gpu: 'int8' },
      matryoshka: [64, 32],
      sources: { hub: 'acme/code' },
    };
    await writeFile(join(home.path, 'models.json'), JSON.stringify({ models: [entry] }));
    await writeSampleProject(join(home.path, 'project'));
    env = {
      MODEL_DIR: join(home.path, 'models'),
      MODEL_CATALOG: join(home.path, 'models.json'),
      MODEL_HUB_URL: hub.url,
      EMBEDDING_MODEL: NAME,
      DATA_DIR: join(home.path, 'data'),
      PATH: `${dirname(inject('redisServer'))}:${process.env['PATH']}`, // or it would be fetched to where the models are
    };
    embergate = await RunningEmbergate.start({
      source: join(home.path, 'project'),
      dataDir: join(home.path, 'data'),
      env,
    });
  });
  afterAll(async () => {
    await embergate?.dispose();
    await hub?.close();
    await home.remove();
  });

  interface Listed {
    name: string;
    space: string;
    installed: { variant: string }[];
    checkout: { folder: string; complete: boolean } | null;
    downloadBytes: number;
  }
  const listed = async (): Promise<Listed> => {
    const { stdout } = await runEmbergate(['model', 'list', '--json'], { env });
    return (JSON.parse(stdout) as Listed[]).find(({ name }) => name === NAME)!;
  };

  it('`up` says what it will fetch and build, does it, and searches through it', async () => {
    expect(embergate.stderr).toMatch(
      /acme-code: fetching 1 MB into .*checkout; then building int8 of at most/,
    );
    expect(embergate.stderr).toMatch(
      /Fetching model-00001-of-00002\.safetensors \(\d+ kB\) of acme-code from hub/,
    );
    const { embedding, results } = await embergate.client.search({ query: 'retry with backoff' });
    expect(embedding).toMatchObject({ model: NAME, variant: 'int8', degraded: false });
    expect(embedding.space).toBe((await listed()).space);
    expect(results.length).toBeGreaterThan(0);
    expect(hub.fetched()).not.toContain('pytorch_model.bin');
  });

  const embeddings = async (body: object): Promise<Response> =>
    fetch(`${embergate.url}/v1/embeddings`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: NAME, input: 'retry with backoff', ...body }),
    });
  const vectorOf = async (body: object): Promise<number[]> =>
    JSON.parse(await (await embeddings(body)).text()).data[0].embedding;

  it('gives shorter vectors to who asks for a length that it was trained for, and no others', async () => {
    const [whole, short] = [await vectorOf({}), await vectorOf({ dimensions: 64 })];
    const cut = cutVectors(Float32Array.from(whole), { from: 128, to: 64 });
    expect(short).toHaveLength(64);
    short.forEach((value, at) => expect(value).toBeCloseTo(cut[at] ?? NaN, 5));
    const refused = await embeddings({ dimensions: 48 });
    expect(refused.status).toBe(400);
    expect(await refused.text()).toContain('has 128, 64, 32 here');
  });

  it('with EMBEDDING_DIMENSIONS it is a space of its own, with an index of short vectors', async () => {
    const whole = await vectorOf({});
    const { space } = await listed();
    const dataDir = join(home.path, 'short');
    const other = await RunningEmbergate.start({
      source: join(home.path, 'project'),
      dataDir,
      env: { ...env, DATA_DIR: dataDir, EMBEDDING_DIMENSIONS: '64' },
    });
    try {
      const { embedding, results } = await other.client.search({ query: 'retry with backoff' });
      expect(embedding).toMatchObject({ model: NAME, degraded: false });
      expect(embedding.space).not.toBe(space);
      expect(results.length).toBeGreaterThan(0);
      expect((await other.client.collections()).data[0]?.space.dimensions).toBe(64);
      const { data } = await other.client.embeddings({ model: NAME, input: 'retry with backoff' });
      const cut = cutVectors(Float32Array.from(whole), { from: 128, to: 64 });
      const short = data[0]?.embedding as number[];
      expect(short.reduce((sum, value, at) => sum + value * (cut[at] ?? 0), 0)).toBeGreaterThan(0.99999);
      // What is short already can't be cut again: the whole vector would be needed.
      await expect(
        other.client.embeddings({ model: NAME, input: 'x', dimensions: 32 }),
      ).rejects.toMatchObject({ code: 'invalid_request' });
    } finally {
      await other.dispose();
    }
  });

  it('another variant is pulled beside it and taken by name, in the same space', async () => {
    const { space, installed, checkout, downloadBytes } = await listed();
    expect({ checkout, downloadBytes, variants: installed.length }).toEqual({
      checkout: null,
      downloadBytes: 1_300_000,
      variants: 1,
    });
    const pulled = await runEmbergate(
      ['model', 'pull', NAME, '--variant', 'int4', '--keep-checkout', '--json'],
      { env },
    );
    expect(pulled.code).toBe(0);
    expect(JSON.parse(pulled.stdout)).toMatchObject({ name: NAME, variant: 'int4', space });
    const after = await listed();
    expect(after.installed.map(({ variant }) => variant)).toEqual(['int8', 'int4']);
    expect(after.checkout).toMatchObject({ complete: true });
    await embergate.end();
    await hub.close();
    embergate = await RunningEmbergate.start({
      source: join(home.path, 'project'),
      dataDir: join(home.path, 'data'),
      env: { ...env, EMBEDDING_VARIANT: 'int4' },
    });
    const { embedding } = await embergate.client.search({ query: 'retry with a longer backoff' });
    expect(embedding).toMatchObject({ model: NAME, variant: 'int4', space });
    // The index of the other variant is the same one: nothing is embedded again.
    expect(embergate.stdout).toMatch(/ 0 embedded/);
  });

  it('two variants are compared, and fail below the floor that is asked for', async () => {
    const verify = (floor: string) =>
      runEmbergate(
        ['model', 'verify', NAME, '--against', 'int4', '--min-cosine', floor, '--min-overlap', '0', '--json'],
        { env },
      );
    const [near, same] = [await verify('0.5'), await verify('1')];
    expect([near.code, same.code]).toEqual([0, 1]);
    expect(JSON.parse(same.stdout)).toMatchObject({
      ok: false,
      variant: 'int8',
      against: { variant: 'int4' },
    });
  });

  it('a variant is built from the kept checkout, or from a folder, with no hub in reach', async () => {
    const { checkout } = await listed();
    const out = join(home.path, 'out');
    const built = await runEmbergate(['model', 'build', NAME, '--variant', 'int8', '--out', out, '--json'], {
      env,
    });
    expect(JSON.parse(built.stdout)).toMatchObject({ name: NAME, variant: 'int8', folder: out });
    const elsewhere = { ...env, MODEL_DIR: join(home.path, 'elsewhere') };
    const missing = await runEmbergate(['model', 'build', NAME], { env: elsewhere });
    expect(missing).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/model_not_installed.*--from FOLDER/s),
    });
    const from = await runEmbergate(['model', 'pull', NAME, '--from', checkout!.folder, '--json'], {
      env: elsewhere,
    });
    expect(JSON.parse(from.stdout)).toMatchObject({
      variant: 'int8',
      space: (await listed()).space,
      checkout: null,
    });
    await rm(join(home.path, 'elsewhere'), { recursive: true });
  });

  it.each([
    [
      ['model', 'pull', NAME, '--variant', 'int2'],
      {},
      2,
      /config_invalid: acme-code has no variant "int2"\. It has: int8, int4/,
    ],
    [['model', 'pull', NAME, '--hub', 'localhost'], {}, 2, /--hub.*It must be a URL that starts with http/],
    [['model', 'pull', 'no-such'], {}, 1, /model_not_found.*acme-code/],
    [
      ['model', 'list'],
      { MODEL_CATALOG: '/none' },
      2,
      /config_invalid: MODEL_CATALOG \/none: it cannot be read \(ENOENT\)/,
    ],
    [['model', 'list'], { MODEL_HUB_URL: 'ftp://x' }, 2, /MODEL_HUB_URL is "ftp:\/\/x": must be a URL/],
    [['model', 'build', 'somewhere'], {}, 2, /usage: A folder needs --out/],
    [['doctor'], { EMBEDDING_VARIANT: 'fp32' }, 1, /has no variant "fp32"/],
    [['doctor'], { EMBEDDING_DIMENSIONS: '48' }, 1, /has vectors of 128, 64, 32 dimensions/],
  ])('%j is refused in words', async (args, settings, code, words) => {
    const { stderr, stdout, ...ended } = await runEmbergate(args, { env: { ...env, ...settings } });
    expect(ended.code).toBe(code);
    expect(stderr + stdout).toMatch(words);
  });
});
