import { SMALL_CROSS_ENCODER } from '@embergate/testing/random-architectures.ts';
import { writeRandomCheckpoint } from '@embergate/testing/random-checkpoint.ts';
import { descendantsOf, isAlive } from '@embergate/testing/processes.ts';
import { RunningEmbergate, runEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { writeSampleProject } from '@embergate/testing/sample-project.ts';
import { ensureModel } from '@embergate/models/prepare.ts';
import { defaultModelDir } from '@embergate/models/installed-model.ts';
import type { SearchResponse } from '@embergate/contracts/http-search.ts';
import { copyFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeChatServer, ordered } from '../../libs/rerank-chat/test/fake-chat-server.ts';

const QUERY = 'retry with backoff';
const KEY = 'sk-secret-0123456789';
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let source: string;
beforeAll(async () => {
  folder = await temporaryFolder('rerank');
  source = join(folder.path, 'project');
  await writeSampleProject(source);
});
afterAll(() => folder.remove());

const idsOf = ({ results }: SearchResponse): string[] => results.map(({ id }) => id);
const metricOf = async (url: string, outcome: string): Promise<number> => {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(
    new RegExp(`^embergate_rerank_requests_total\\{outcome="${outcome}"\\} (\\d+)`, 'm').exec(text)?.[1] ?? 0,
  );
};

/** Random weights: they order by nothing in particular, and differently from fusion. */
describe('searches reranked by a cross-encoder that was built on this machine', () => {
  let embergate: RunningEmbergate;
  const search = (rerank: boolean) => embergate.client.search({ query: QUERY, rerank, deadlineMs: 30_000 });
  const child = async (): Promise<number> => {
    const found = (await descendantsOf(embergate.pid)).find(({ command }) =>
      command.includes('rerank-child'),
    );
    return found?.pid ?? NaN;
  };

  beforeAll(async () => {
    const checkout = join(folder.path, 'tiny-cross-encoder');
    await writeRandomCheckpoint(checkout, {
      shape: { ...SMALL_CROSS_ENCODER, vocabulary: 30_522 },
      type: 'F32',
    });
    const modelDir =
      process.env['MODEL_DIR'] ?? defaultModelDir({ home: homedir(), platform: process.platform });
    const { tokenizerPath } = await ensureModel('all-MiniLM-L6-v2', { modelDir });
    await copyFile(tokenizerPath, join(checkout, 'tokenizer.json'));
    const out = join(folder.path, 'built');
    const built = await runEmbergate(['model', 'build', checkout, '--out', out]);
    expect(built.stdout).toBe(`tiny-cross-encoder (fp32) is in ${out}. Use it with RERANKER=${out}\n`);
    // A busy machine may take longer than the second that is the default.
    embergate = await RunningEmbergate.start({ source, env: { RERANKER: out, RERANK_DEADLINE_MS: '20000' } });
  });
  afterAll(() => embergate.dispose());

  it('have its order, its scores and its time, and no warning; others have neither', async () => {
    const [fused, reranked] = [await search(false), await search(true)];
    expect(fused).toMatchObject({ warnings: [], timingsMs: { rerank: 0 } });
    expect(reranked.warnings).toEqual([]);
    expect(reranked.timingsMs.rerank).toBeGreaterThan(0);
    expect(idsOf(reranked)).not.toEqual(idsOf(fused));
    const scores = reranked.results.map(({ score }) => score);
    expect(scores).toEqual(scores.toSorted((a, b) => b - a));
    expect(await metricOf(embergate.url, 'done')).toBeGreaterThan(0);
    // Everywhere a search can be asked for.
    const args = ['search', QUERY, '--rerank', '--deadline', '30000', '--json', '--url', embergate.url];
    expect(idsOf(JSON.parse((await runEmbergate(args)).stdout) as SearchResponse)).toEqual(idsOf(reranked));
  });

  it('are answered in fusion order while its process is gone, and reranked again when it is back', async () => {
    const fused = idsOf(await search(false));
    const reranked = idsOf(await search(true));
    process.kill(await child(), 'SIGKILL');
    let isBack = false;
    await eventually('it is reranked again', async () => {
      const answer = await search(true);
      isBack = answer.warnings.length === 0;
      expect(idsOf(answer)).toEqual(isBack ? reranked : fused);
      if (!isBack) expect(answer.warnings).toMatchObject([{ code: 'rerank_skipped' }]);
      return isBack;
    });
  });

  it('leave no process behind after Ctrl-C', async () => {
    const pid = await child();
    expect(isAlive(pid)).toBe(true);
    expect(await embergate.end('SIGINT')).toBe(130);
    expect(isAlive(pid)).toBe(false);
  });
});

describe('searches reranked by a language model behind a chat API', () => {
  let embergate: RunningEmbergate;
  let api: FakeChatServer;
  const search = () => embergate.client.search({ query: QUERY, rerank: true, deadlineMs: 30_000 });

  beforeAll(async () => {
    api = await FakeChatServer.start();
    embergate = await RunningEmbergate.start({ source, env: { RERANK_URL: api.url, RERANK_API_KEY: KEY } });
  });
  afterAll(async () => {
    await embergate.dispose();
    await api.stop();
  });

  it('have its order, and are in fusion order with a warning where it fails', async () => {
    const fused = await embergate.client.search({ query: QUERY });
    api.act = (response, asked) =>
      ordered(asked.passages.map((_, at) => asked.passages.length - at))(response, asked);
    const reranked = await search();
    expect(api.asked[0]?.passages[0]).toBe(fused.results[0]?.text.replace(/\n$/, ''));
    expect(api.asked[0]?.headers.authorization).toBe(`Bearer ${KEY}`);
    expect(idsOf(reranked)).not.toEqual(idsOf(fused));
    api.act = (response) => void response.destroy();
    const failed = await search();
    expect(idsOf(failed)).toEqual(idsOf(fused));
    expect(failed.warnings).toMatchObject([
      { code: 'rerank_skipped', message: expect.stringContaining('cannot be reached') },
    ]);
    expect(embergate.output + JSON.stringify(failed)).not.toContain(KEY);
  });
});
