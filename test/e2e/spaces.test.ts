import { EmbergateClient } from '@embergate/client/client.ts';
import { isEnded, type IndexJob } from '@embergate/contracts/index-job.ts';
import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { FrozenProcesses } from '@embergate/testing/frozen-processes.ts';
import { SMALL_QWEN2 } from '@embergate/testing/random-architectures.ts';
import { writeRandomCheckpoint } from '@embergate/testing/random-checkpoint.ts';
import { RunningEmbergate, runEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { writeFiles, writeSampleProject } from '@embergate/testing/sample-project.ts';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const TOKENIZER = join(import.meta.dirname, '../../libs/models/test/reference/bpe-tokenizer.json');
/** All ids of that tokenizer are in it. */
const SHAPE = { ...SMALL_QWEN2, vocabulary: 1_024 };
const OTHER = 'tiny-code-embedder';
const QUERY = 'retry with backoff';

/** The other model has random weights: its vectors mean nothing, but they are of a space of their own. */
describe('one gateway with two models', () => {
  const frozen = new FrozenProcesses();
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let source: string;
  let embergate: RunningEmbergate;
  let client: EmbergateClient;
  let other: { space: string };

  beforeAll(async () => {
    folder = await temporaryFolder('spaces');
    const checkout = join(folder.path, OTHER);
    await writeRandomCheckpoint(checkout, { shape: SHAPE, type: 'BF16', shards: 1 });
    await copyFile(TOKENIZER, join(checkout, 'tokenizer.json'));
    const built = join(folder.path, 'built');
    const build = ['model', 'build', checkout, '--variant', 'int8', '--out', built, '--json'];
    other = JSON.parse((await runEmbergate(build)).stdout);
    source = join(folder.path, 'project');
    await writeSampleProject(source);
    embergate = await RunningEmbergate.start({ source, env: { OTHER_EMBEDDING_MODELS: `${built}=cpu` } });
    client = new EmbergateClient({ url: embergate.url });
    await eventually('the other model is ready', async () => {
      const { otherSpaces } = await client.cluster();
      return otherSpaces[0]?.tiers[0]?.state === 'ready';
    });
  });
  afterAll(async () => {
    frozen.close();
    await embergate?.dispose();
    await folder.remove();
  });

  const ended = (id: string): Promise<IndexJob> =>
    eventually(`job ${id} has ended`, async () => {
      const job = await client.indexJob(id);
      return isEnded(job.state) ? job : undefined;
    });
  const index = async (wanted: Parameters<EmbergateClient['createIndexJob']>[0]): Promise<IndexJob> =>
    ended((await client.createIndexJob(wanted)).id);
  const directory = () => ({ type: 'directory', path: source }) as const;
  const otherWorker = (): number => Number(/worker-2 started \(process (\d+)\)/.exec(embergate.output)?.[1]);
  /** Searches one after the other, each a new text; any failure is thrown by stop(). `spaces`: of the answers, in order. */
  const keepSearching = () => {
    const spaces = new Set<string>();
    let isStopped = false;
    const done = (async () => {
      for (let asked = 0; !isStopped; asked++) {
        const query = { query: `retry number ${asked}`, collection: 'moving', mode: 'dense' } as const;
        spaces.add((await client.search(query)).embedding.space);
      }
    })();
    done.catch(() => undefined);
    const stop = async (): Promise<void> => {
      isStopped = true;
      await done;
    };
    return { spaces, stop };
  };
  const first = async (): Promise<string> => (await client.cluster()).space;

  it('a collection of either model lies beside one of the other, and is searched in its own space', async () => {
    const job = await index({ source: directory(), collection: 'tiny', model: OTHER });
    expect(job).toMatchObject({ state: 'completed', error: null });
    const inTiny = await client.search({ query: QUERY, collection: 'tiny' });
    const inDefault = await client.search({ query: QUERY });
    expect(inTiny.embedding).toMatchObject({ model: OTHER, space: other.space, degraded: false });
    expect(inDefault.embedding).toMatchObject({ model: DEFAULT_MODEL, space: await first() });
    expect(inDefault.results[0]?.path).toBe('src/retry.ts');
  });

  it('embeddings are asked for by the model’s name', async () => {
    const ask = async (model: string) =>
      fetch(`${embergate.url}/v1/embeddings`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ input: QUERY, model }),
      });
    const { data } = JSON.parse(await (await ask(OTHER)).text());
    expect(data[0].embedding).toHaveLength(SHAPE.hidden);
    expect((await ask('a-third')).status).toBe(404);
    const { data: models } = JSON.parse(await (await fetch(`${embergate.url}/v1/models`)).text());
    expect(models).toMatchObject([{ id: DEFAULT_MODEL }, { id: OTHER, space: other.space }]);
  });

  it('an existing collection is not indexed into by another model', async () => {
    const wanted = { source: directory(), collection: 'tiny', model: DEFAULT_MODEL } as const;
    await expect(client.createIndexJob(wanted)).rejects.toMatchObject({ code: 'space_mismatch' });
  });

  it('moves to the other model’s space by one command, and is found there with all it held', async () => {
    await index({ source: directory(), collection: 'moving' });
    const before = await client.collection('moving');
    const move = ['collections', 'move', 'moving', '--model', OTHER, '--url', embergate.url, '--json'];
    const searching = keepSearching();
    const { stdout, stderr, code } = await runEmbergate(move);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ state: 'completed', progress: { chunks: before.chunks } });
    const after = await client.collection('moving');
    expect(after).toMatchObject({ spaceId: other.space, chunks: before.chunks, repos: before.repos });
    // Whoever searched meanwhile got an answer each time: of the old space, and from the step on of the new one.
    await eventually('searches have come to the new space', () => searching.spaces.has(other.space));
    await searching.stop();
    expect([...searching.spaces]).toEqual([await first(), other.space]);
    const { embedding, results } = await client.search({ query: QUERY, collection: 'moving' });
    expect(embedding).toMatchObject({ space: other.space, degraded: false });
    expect(results.length).toBeGreaterThan(0);
    // From then on it is a collection like any other: what is unchanged stays as it is.
    const again = await index({ source: directory(), collection: 'moving', repo: before.repos[0]?.name });
    expect(again).toMatchObject({ state: 'completed', progress: { embedded: 0, removed: 0 } });
  });

  it('no job goes with a move of its collection, and a cancelled move leaves everything as it was', async () => {
    await index({ source: directory(), collection: 'busy' });
    const before = await client.collection('busy');
    // The move cannot end before it is cancelled.
    frozen.freeze(otherWorker());
    const move = await client.createIndexJob({
      source: { type: 'collection', models: [OTHER] },
      collection: 'busy',
    });
    const running = { code: 'job_running', details: { jobId: move.id } };
    await expect(client.createIndexJob({ source: directory(), collection: 'busy' })).rejects.toMatchObject(
      running,
    );
    await client.cancelIndexJob(move.id);
    expect(await ended(move.id)).toMatchObject({ state: 'cancelled' });
    frozen.thawAll();
    const after = await client.collection('busy');
    expect(after).toMatchObject({ spaceId: before.spaceId, chunks: before.chunks });
    const { embedding, results } = await client.search({ query: QUERY, collection: 'busy' });
    expect(embedding).toMatchObject({ space: await first(), degraded: false });
    expect(results[0]?.path).toBe('src/retry.ts');
  });

  it('a collection with a second space is answered from it when no tier of the first is there', async () => {
    await index({ source: directory(), collection: 'both', model: OTHER });
    const models = [OTHER, DEFAULT_MODEL];
    expect(await index({ source: { type: 'collection', models }, collection: 'both' })).toMatchObject({
      state: 'completed',
      error: null,
    });
    expect(await client.collection('both')).toMatchObject({
      spaceId: other.space,
      secondSpaceId: await first(),
    });
    // New code gets a vector of each.
    await writeFiles(source, { 'src/tax.ts': 'export const addTax = (net: number): number => net * 1.2;\n' });
    await index({ source: directory(), collection: 'both' });
    const well = await client.search({ query: 'sales tax', collection: 'both', mode: 'dense' });
    expect(well.embedding).toMatchObject({ space: other.space, degraded: false });

    frozen.freeze(otherWorker());
    // The first one after it waits for the silent worker, and still has time for the second space.
    const answer = await client.search({ query: 'add the sales tax', collection: 'both', mode: 'dense' });
    expect(answer.embedding).toMatchObject({ model: DEFAULT_MODEL, tier: 'cpu', degraded: true });
    expect(answer.embedding.reason).toMatch(/^cpu_/);
    expect(answer.warnings.map(({ code }) => code)).toContain('second_space');
    expect(answer.results[0]?.path).toBe('src/tax.ts');
    // Whoever wants the collection's own space or nothing gets nothing.
    const same = { query: 'a tax that is due', collection: 'both', degradation: 'same_space' } as const;
    const code = expect.stringMatching(/^(deadline_exceeded|no_tier_available)$/);
    await expect(client.search(same)).rejects.toMatchObject({ code });
  });
});
