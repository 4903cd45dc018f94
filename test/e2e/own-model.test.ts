import { SMALL_QWEN2 } from '@embergate/testing/random-architectures.ts';
import { writeRandomCheckpoint } from '@embergate/testing/random-checkpoint.ts';
import { RunningEmbergate, runEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { writeSampleProject } from '@embergate/testing/sample-project.ts';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const TOKENIZER = join(import.meta.dirname, '../../libs/models/test/reference/bpe-tokenizer.json');
/** All ids of that tokenizer are in it. */
const SHAPE = { ...SMALL_QWEN2, vocabulary: 1_024 };
const QUERY_PROMPT = 'Represent this query for searching relevant code: ';

/** A checkout with random weights: its vectors mean nothing, but each text has one of its own. */
describe('a model of nomic-embed-code’s kind, built on this machine out of its checkout', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let embergate: RunningEmbergate;
  let built: { name: string; variant: string; space: string; folder: string };

  beforeAll(async () => {
    folder = await temporaryFolder('own-model');
    const checkout = join(folder.path, 'tiny-code-embedder');
    await writeRandomCheckpoint(checkout, { shape: SHAPE, type: 'BF16', shards: 2 });
    await copyFile(TOKENIZER, join(checkout, 'tokenizer.json'));
    const out = join(folder.path, 'built');
    const args = ['model', 'build', checkout, '--variant', 'int8', '--out', out, '--json'];
    built = JSON.parse((await runEmbergate(args)).stdout);
    const source = join(folder.path, 'project');
    await writeSampleProject(source);
    embergate = await RunningEmbergate.start({ source, env: { EMBEDDING_MODEL: built.folder } });
  });
  afterAll(async () => {
    await embergate.dispose();
    await folder.remove();
  });

  // Answers are JSON, and asserting on them is what says what they are.
  const post = async (path: string, body: unknown) => {
    const response = await fetch(embergate.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return JSON.parse(await response.text());
  };
  const vectorOf = async (body: object): Promise<number[]> =>
    (await post('/v1/embeddings', { model: built.name, ...body })).data[0].embedding;

  it('indexes and answers searches in its own space', async () => {
    const { embedding, results } = await post('/v1/search', { query: 'retry with backoff' });
    expect(built).toMatchObject({ name: 'tiny-code-embedder', variant: 'int8' });
    expect(embedding).toMatchObject({
      model: built.name,
      space: built.space,
      variant: 'int8',
      degraded: false,
    });
    expect(results.length).toBeGreaterThan(0);
  });

  it('is verified: the same vectors alone and in a batch, and near those of its fp32 build', async () => {
    const precise = join(folder.path, 'precise');
    const checkout = join(folder.path, 'tiny-code-embedder');
    await runEmbergate(['model', 'build', checkout, '--variant', 'fp32', '--out', precise]);
    const verify = ['model', 'verify', built.folder, '--against', precise, '--json'];
    const { stdout, code } = await runEmbergate(verify);
    const found = JSON.parse(stdout);
    expect(code).toBe(0);
    expect(found).toMatchObject({ ok: true, variant: 'int8', space: built.space, goldens: null });
    expect(found.batch.cosine.least).toBeGreaterThan(0.99999);
    expect(found.against).toMatchObject({ variant: 'fp32' });
    expect(found.against.cosine.least).toBeGreaterThan(0.99);
    // The same figures, and somebody who wants more.
    const strict = await runEmbergate([...verify, '--min-cosine', '1']);
    expect(strict.code).toBe(1);
    expect(JSON.parse(strict.stdout).ok).toBe(false);
  });

  it('puts its own prompt before queries, and nothing before documents', async () => {
    const query = await vectorOf({ input: 'retry with backoff', input_type: 'query' });
    const document = await vectorOf({ input: 'retry with backoff' });
    const byHand = await vectorOf({ input: `${QUERY_PROMPT}retry with backoff` });
    const cosine = (a: number[], b: number[]) => a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);
    expect(cosine(query, query)).toBeCloseTo(1, 4);
    expect(cosine(query, byHand)).toBeGreaterThan(0.99999);
    expect(cosine(query, document)).toBeLessThan(0.99);
  });

  it('embeds a list on the bulk lane as it embeds one text', async () => {
    const input = ['open a file', 'function retry() {}\n'.repeat(60), 'x'];
    const { data } = await post('/v1/embeddings', { model: built.name, input });
    for (const [at, text] of input.entries()) {
      const alone = await vectorOf({ input: text });
      const cosine = alone.reduce((sum, value, n) => sum + value * data[at].embedding[n], 0);
      expect(cosine).toBeGreaterThan(0.99999);
    }
  });
});
