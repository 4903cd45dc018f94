import type { ExportedChunk } from '@embergate/contracts/chunk-export.ts';
import { isEnded, type IndexJob } from '@embergate/contracts/index-job.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { npyOf } from '@embergate/testing/npy.ts';
import { RunningEmbergate, runEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { writeSampleProject } from '@embergate/testing/sample-project.ts';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const MODEL = 'all-MiniLM-L6-v2';
/** Of the indexer and of the export: with another one, the folder's chunks would not be those of the import. */
const MAX_CHARS = 300;
const SIZE = { CHUNK_MAX_CHARS: String(MAX_CHARS) };
const QUERIES = [
  'retry with backoff',
  'split a header line',
  'read the request body',
  'fibonacci',
  'invoices',
];

describe('a project that is exported, embedded elsewhere and imported', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let embergate: RunningEmbergate;
  let project: string;
  let out: string;
  let described: { spaceId: string; chunks: number; repo: string; commit: string };

  beforeAll(async () => {
    folder = await temporaryFolder('elsewhere');
    project = join(folder.path, 'project');
    out = join(folder.path, 'export');
    await writeSampleProject(project);
    embergate = await RunningEmbergate.start({ source: project, env: SIZE });
    // The description of a model of the catalog is enough: its files need not be there.
    const empty = { env: { ...SIZE, MODEL_DIR: join(folder.path, 'no-models') } };
    const exported = await runEmbergate(['chunks', 'export', project, '--out', out, '--json'], empty);
    expect(exported).toMatchObject({ code: 0 });
    described = JSON.parse(exported.stdout);
    await embed();
  });
  afterAll(async () => {
    await embergate?.dispose();
    await folder?.remove();
  });

  async function exportedChunks(): Promise<ExportedChunk[]> {
    const lines = (await readFile(join(out, 'chunks.jsonl'), 'utf8')).trimEnd().split('\n');
    return lines.map((line) => JSON.parse(line) as ExportedChunk);
  }
  /** What stands for the machine elsewhere. */
  async function embed(): Promise<void> {
    const input = (await exportedChunks()).map(({ embeddedText }) => embeddedText);
    const { data } = await embergate.client.embeddings({ model: MODEL, input });
    await writeFile(join(out, 'vectors.npy'), npyOf(data.map(({ embedding }) => embedding as number[])));
  }
  const bring = (from: string, collection: string, ...more: string[]) =>
    runEmbergate(['chunks', 'import', from, '-c', collection, '--json', '--url', embergate.url, ...more]);

  it('answers searches as the one that was indexed here', async () => {
    const { code, stdout } = await bring(out, 'imported');
    const job = JSON.parse(stdout) as IndexJob;
    expect(code).toBe(0);
    expect(job).toMatchObject({ state: 'completed', repo: 'project', commit: described.commit });
    expect(job.progress).toMatchObject({ embedded: 0, chunks: described.chunks, reused: described.chunks });
    for (const query of QUERIES) {
      const [here, there] = await Promise.all(
        ['default', 'imported'].map((collection) => embergate.client.search({ query, collection })),
      );
      expect(here?.results.length).toBeGreaterThan(2);
      const known = (answer: typeof here) =>
        answer?.results.map(({ score, ...chunk }) => ({ ...chunk, score: score.toFixed(4) }));
      expect(known(there)).toEqual(known(here));
    }
  });

  it('is in pieces of the size that was chosen', async () => {
    const lengths = (await exportedChunks()).map(({ text }) => text.length);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(MAX_CHARS);
  });

  it('is indexed again from its folder without the model', async () => {
    const args = ['index', project, '-c', 'imported', '--json', '--url', embergate.url];
    const job = JSON.parse((await runEmbergate(args)).stdout) as IndexJob;
    expect(job).toMatchObject({ state: 'completed' });
    expect(job.progress).toMatchObject({ embedded: 0, reused: described.chunks, removed: 0 });
  });

  it('may be called otherwise, and followed later', async () => {
    const { code, stdout } = await bring(out, 'imported', '--repo', 'renamed', '--full', '--detach');
    const { id } = JSON.parse(stdout) as IndexJob;
    expect(code).toBe(0);
    await eventually('the import ends', async () => isEnded((await embergate.client.indexJob(id)).state));
    const { repos } = await embergate.client.collection('imported');
    expect(repos).toContainEqual(
      expect.objectContaining({ name: 'renamed', chunks: described.chunks, commit: described.commit }),
    );
  });

  it('publishes nothing where a vector is wrong, and says which one', async () => {
    const spoilt = join(folder.path, 'spoilt');
    await cp(out, spoilt, { recursive: true });
    const bytes = await readFile(join(spoilt, 'vectors.npy'));
    bytes.writeFloatLE(NaN, bytes.length - 4);
    await writeFile(join(spoilt, 'vectors.npy'), bytes);
    const { code, stderr } = await bring(spoilt, 'spoilt');
    expect(code).toBe(1);
    const row = described.chunks - 1;
    expect(stderr).toContain(`vectors_invalid: vectors.npy, row ${row} (line ${row + 1} of chunks.jsonl)`);
    // Not even an empty collection is left.
    const search = embergate.client.search({ query: 'retry', collection: 'spoilt' });
    await expect(search).rejects.toMatchObject({ code: 'collection_not_found' });
  });

  it('is refused at once where it is of another space, outside INDEX_ROOTS, or not described', async () => {
    const ask = (source: object) => embergate.client.createIndexJob({ source } as never);
    const { spaceId: space } = described;
    const other = { type: 'vectors', path: out, space: `${MODEL}@00000000` };
    await expect(ask(other)).rejects.toMatchObject({ code: 'space_mismatch' });
    await expect(ask({ type: 'vectors', path: '/etc', space })).rejects.toMatchObject({
      code: 'source_not_allowed',
    });
    await expect(ask({ type: 'vectors', path: out })).rejects.toMatchObject({ code: 'invalid_request' });
    const bare = join(folder.path, 'bare');
    await cp(out, bare, { recursive: true });
    await rm(join(bare, 'embedding.json'));
    expect(await bring(bare, 'bare')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('source_not_found: There is no embedding.json'),
    });
  });

  it('is exported for a model of the catalog that is not on this machine, and for vectors cut short', async () => {
    const env = { MODEL_DIR: join(folder.path, 'no-models'), EMBEDDING_MODEL: 'nomic-embed-text-v1.5' };
    const exportFor = (to: string, more: NodeJS.ProcessEnv) =>
      runEmbergate(['chunks', 'export', project, '--out', join(folder.path, to), '--json'], {
        env: { ...env, ...more },
      });
    const { stdout } = await exportFor('short', { EMBEDDING_DIMENSIONS: '256' });
    expect(JSON.parse(stdout)).toMatchObject({
      space: { model: 'nomic-embed-text-v1.5', dimensions: 256, prompts: { document: 'search_document: ' } },
      hub: 'nomic-ai/nomic-embed-text-v1.5',
      maxTokens: 8_192,
    });
    expect(await exportFor('odd', { EMBEDDING_DIMENSIONS: '255' })).toMatchObject({ code: 2 });
    expect(await exportFor('reranker', { EMBEDDING_MODEL: 'CodeRankLLM' })).toMatchObject({ code: 2 });
  });

  it('is not exported into itself, over other files, or under a name that is none', async () => {
    const exported = (...args: string[]) => runEmbergate(['chunks', 'export', project, '--out', ...args]);
    expect(await exported(join(project, 'export'))).toMatchObject({ code: 2 });
    expect(await exported(folder.path)).toMatchObject({ code: 2 });
    expect(await exported(out)).toMatchObject({ code: 2, stderr: expect.stringContaining('vectors.npy') });
    expect(await exported(join(folder.path, 'new'), '--repo', 'a\nb')).toMatchObject({ code: 2 });
  });
});
