import type { EmbergateClient } from '@embergate/client/client.ts';
import { emptyProgress, type IndexJob } from '@embergate/contracts/index-job.ts';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { CliContext } from '../src/context.ts';
import { followJob } from '../src/follow-job.ts';

let told: string[];
beforeEach(() => {
  told = [];
  const keep = (text: string | Uint8Array): boolean => told.push(String(text)) > 0;
  vi.spyOn(process.stdout, 'write').mockImplementation(keep);
  vi.spyOn(process.stderr, 'write').mockImplementation(keep);
});
afterEach(() => void vi.restoreAllMocks());

const QUEUED: IndexJob = {
  ...{ id: 'job-1', state: 'queued', collection: 'default', repo: 'shop', mode: 'incremental' },
  ...{ source: { type: 'directory', path: '/code/shop' }, progress: emptyProgress(), skippedFiles: [] },
  ...{ commit: null, waitingFor: null, estimateOnly: false, estimate: null, warnings: [], error: null },
  ...{ createdAt: '2026-12-01T00:00:00.000Z', startedAt: null, finishedAt: null },
};
const ESTIMATE: NonNullable<IndexJob['estimate']> = {
  ...{ files: 3, sampledFiles: 3, chunks: 9, reused: 2, embedded: 7, tokens: 700, seconds: 4 },
  ...{ tier: 'cpu', basis: 'one worker', gpuSeconds: null, gpuPeakSeconds: 150 },
};
/** Stands for a gateway that tells these states of a job one after the other. */
const telling = (...jobs: IndexJob[]): EmbergateClient =>
  ({
    async *watchIndexJob() {
      yield* jobs;
    },
  }) as unknown as EmbergateClient;
const follow = (json: boolean, ...jobs: IndexJob[]) =>
  followJob(telling(...jobs), 'job-1', {
    json,
    context: { signal: new AbortController().signal } as CliContext,
  });

const running: IndexJob = { ...QUEUED, state: 'running', estimate: ESTIMATE };
const completed: IndexJob = { ...running, state: 'completed' };

it('what a job will take is told once, before its progress', async () => {
  await follow(false, QUEUED, running, running, completed);
  const lines = told.join('').split('\n');
  const expected = lines.filter((line) => line.startsWith('expected:'));
  expect(expected).toEqual([
    'expected: 3 files, 9 chunks: 2 reused, 7 to embed, 700 tokens; time 4 s (one worker); on a GPU unknown: none has been measured, and one NVIDIA T4 would take 3 min at its peak rate',
  ]);
  const summary = lines.findIndex((line) => line.includes('completed in'));
  expect(lines.indexOf(expected[0] ?? '')).toBeLessThan(summary);
  expect(told.findIndex((text) => text.startsWith('expected:'))).toBe(1);
});

it('a job that is only to be estimated tells it as its result', async () => {
  await follow(false, { ...completed, estimateOnly: true });
  expect(told.filter((text) => text.includes('expected:'))).toHaveLength(1);
});

it('with --json nothing is told but the job', async () => {
  await follow(true, QUEUED, running, completed);
  expect(JSON.parse(told.join(''))).toEqual(completed);
});
