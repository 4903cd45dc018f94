import type { AdoptionPreview } from '@embergate/contracts/adoption.ts';
import { runEmbergate } from '@embergate/testing/running-embergate.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QDRANT_BINARY, startOnQdrant, functions, type OnQdrant, type Page } from './on-qdrant.ts';

const MODEL = 'all-MiniLM-L6-v2';

describe.skipIf(QDRANT_BINARY === '')('a collection that a notebook has filled', () => {
  let on: OnQdrant;
  let embergate: OnQdrant['embergate'];
  let client: OnQdrant['client'];
  const texts = Object.entries(functions(120)).map(([path, text]) => ({ path, text }));
  const before = { points: [] as Page['points'][0][] };
  const all = async (): Promise<Page['points'][0][]> =>
    (await client.scroll('qdrant_ecosystem', { limit: 1_000, with_payload: true, with_vector: true })).points;
  const cli = (...args: string[]) => runEmbergate(['collections', 'adopt', ...args, '--url', embergate.url]);

  beforeAll(async () => {
    on = await startOnQdrant();
    ({ embergate, client } = on);
    const { data } = await embergate.client.embeddings({
      model: MODEL,
      input: texts.map(({ text }) => text),
    });
    await client.createCollection('qdrant_ecosystem', { vectors: { size: 384, distance: 'Cosine' } });
    const points = texts.map(({ path, text }, id) => ({
      id,
      vector: data[id]?.embedding as number[],
      payload: {
        page_content: text,
        metadata: { source: path, lang: 'Python', ...(id >= 20 && { repo: id < 70 ? 'one' : 'two' }) },
      },
    }));
    await client.upsert('qdrant_ecosystem', { wait: true, points });
    before.points = await all();
  });
  afterAll(() => on?.stop());

  it('is looked at first', async () => {
    const { code, stdout } = await cli('notebook', '--from', 'qdrant_ecosystem', '--json');
    const preview = JSON.parse(stdout) as AdoptionPreview;
    expect(code).toBe(0);
    expect(preview).toMatchObject({
      points: 120,
      fields: {
        text: 'page_content',
        path: 'metadata.source',
        language: 'metadata.lang',
        repo: 'metadata.repo',
      },
      problems: [],
    });
    expect(preview.repos.map(({ points }) => points).sort()).toEqual([20, 50, 50]);
    expect(preview.agreement?.mean).toBeGreaterThan(0.999);
    const shown = await cli('notebook', '--from', 'qdrant_ecosystem');
    expect(shown.stdout).toContain('Go on with --yes');
    await expect(embergate.client.collection('notebook')).rejects.toMatchObject({
      code: 'collection_not_found',
    });
  });

  it('is searched by meaning, by words and by repo without being embedded, and stays as it is', async () => {
    const { code, stderr } = await cli('notebook', '--from', 'qdrant_ecosystem', '--yes');
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const { chunks, repos, spaceId } = await embergate.client.collection('notebook');
    expect({ chunks, repos: repos.map(({ name }) => name).sort() }).toEqual({
      ...{ chunks: 120, repos: ['one', 'qdrant_ecosystem', 'two'] },
    });
    expect(spaceId).toBe((await embergate.client.collection('default')).spaceId);
    for (const mode of ['dense', 'lexical', 'hybrid'] as const) {
      const query = mode === 'dense' ? (texts[77]?.text ?? '') : 'compute_77';
      const { results } = await embergate.client.search({ query, collection: 'notebook', mode });
      expect(results[0]).toMatchObject({
        path: 'pkg/f77.py',
        repo: 'two',
        language: 'python',
        startLine: 1,
      });
    }
    const inOne = { query: 'sum of values', collection: 'notebook', filter: { repo: ['one'] } };
    const { results } = await embergate.client.search(inOne);
    expect(new Set(results.map(({ repo }) => repo))).toEqual(new Set(['one']));
    expect(await all()).toEqual(before.points);
    const jobs = (await embergate.client.indexJobs()).filter(({ collection }) => collection === 'notebook');
    expect(jobs.map(({ progress }) => progress.embedded)).toEqual([0, 0, 0]);
  });

  it('is taken whole where its program put a head of its own before each text', async () => {
    const headed = texts.map(
      ({ path, text }) => `File ${path} of the repository ecosystem, in Python:\n${text}`,
    );
    const { data } = await embergate.client.embeddings({ model: MODEL, input: headed });
    await client.createCollection('headed', { vectors: { size: 384, distance: 'Cosine' } });
    const points = texts.map(({ path, text }, id) => ({
      id,
      vector: data[id]?.embedding as number[],
      payload: { text, path },
    }));
    await client.upsert('headed', { wait: true, points });
    const { code, stderr, stdout } = await cli('headed', '--from', 'headed', '--yes', '--json');
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const preview = JSON.parse((await cli('headed', '--from', 'headed', '--json')).stdout) as AdoptionPreview;
    // Or this test would hold without what it is for.
    expect(preview.agreement?.mean, stdout).toBeLessThan(0.95);
    expect(await embergate.client.collection('headed')).toMatchObject({ chunks: 120 });
  });

  it('is refused where another model made it, whatever its dimensions', async () => {
    await client.createCollection('random', { vectors: { size: 384, distance: 'Cosine' } });
    const points = texts.map(({ text }, id) => ({
      id,
      vector: Array.from({ length: 384 }, (_, at) => Math.sin(at * (id + 1))),
      payload: { text },
    }));
    await client.upsert('random', { wait: true, points });
    const refused = await cli('random', '--from', 'random', '--yes');
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/space_mismatch: .*another model/) as string,
    });
    await client.createCollection('narrow', { vectors: { size: 7, distance: 'Cosine' } });
    await client.upsert('narrow', {
      wait: true,
      points: [{ id: 1, vector: [1, 0, 0, 0, 0, 0, 0], payload: { text: 'x' } }],
    });
    const narrow = await cli('narrow', '--from', 'narrow', '--yes');
    expect(narrow).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/space_mismatch: .*7 dimensions/) as string,
    });
  });
});
