import { EmbergateClient } from '@embergate/client/client.ts';
import { isEnded } from '@embergate/contracts/index-job.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { descendantsOf, isAlive, type ProcessInfo } from '@embergate/testing/processes.ts';
import { RunningEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { writeFiles, writeSampleProject } from '@embergate/testing/sample-project.ts';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

/** Where the gateway listens, as its log says; `up` only prints it when all is indexed. */
async function gatewayUrl(dataDir: string): Promise<string> {
  return eventually('the gateway listens', async () => {
    const log = await readFile(join(dataDir, 'logs', 'gateway.log'), 'utf8');
    return /"url":"([^"]+)"/.exec(log)?.[1];
  });
}

type Folder = Awaited<ReturnType<typeof temporaryFolder>>;

/** Enough to be embedded for some seconds, every file another text. */
async function writeManyFiles(root: string, count: number): Promise<void> {
  const body = (n: number): string =>
    Array.from(
      { length: 3 },
      (_, line) => `    total_${n}_${line} = values[${line}] * ${n + line} + offset_${line % 5}`,
    ).join('\n');
  const files = Array.from({ length: count }, (_, n) => [
    `pkg/module_${n}.py`,
    `def compute_${n}(values, offset_0):\n${body(n)}\n    return total_${n}_0\n`,
  ]);
  await writeFiles(root, Object.fromEntries(files) as Record<string, string>);
}

describe('real failures of real processes', () => {
  let folders: Folder[] = [];
  let embergate: RunningEmbergate | undefined;

  const folder = async (name: string): Promise<string> => {
    const made = await temporaryFolder(name);
    folders.push(made);
    return made.path;
  };
  const start = async (options: Parameters<typeof RunningEmbergate.start>[0]): Promise<RunningEmbergate> =>
    (embergate = await RunningEmbergate.start(options));
  const running = (): RunningEmbergate => {
    if (!embergate) throw new Error('nothing was started');
    return embergate;
  };
  const processOf = async (pattern: RegExp): Promise<ProcessInfo> => {
    const children = await descendantsOf(running().pid);
    const found = children.find(({ command }) => pattern.test(command));
    if (!found)
      throw new Error(
        `no process ${String(pattern)} among ${children.map(({ command }) => command).join('; ')}`,
      );
    return found;
  };

  beforeEach(() => {
    folders = [];
  });

  afterEach(async () => {
    await embergate?.end();
    for (const made of folders) await made.remove();
  });

  it('a parent killed with -9 leaves no orphan', async () => {
    await start({ dataDir: await folder('data') });
    const children = await descendantsOf(running().pid);
    expect(children.length).toBeGreaterThanOrEqual(5);
    embergate?.child.kill('SIGKILL');
    await eventually('every child has ended', () => children.every(({ pid }) => !isAlive(pid)), 10_000);
  });

  it('Ctrl-C during the first indexing, then a start that goes on where it was', async () => {
    const source = await folder('project');
    const dataDir = await folder('data');
    await writeManyFiles(source, 900);
    const first = await start({ source, dataDir, waitUntilReady: false, env: { LOG_LEVEL: 'info' } });
    const url = await gatewayUrl(dataDir);
    const jobs = new EmbergateClient({ url });
    // Chunks are written in batches of 256, in order: one at least when two in three are done.
    await eventually(
      'two thirds are embedded',
      async () => ((await jobs.indexJobs())[0]?.progress.embedded ?? 0) > 600,
      100_000,
    );
    expect(await first.end('SIGINT')).toBe(130);
    expect(first.stderr).toContain('The next start goes on');
    const second = await start({ source, dataDir });
    const [, embedded, reused] = /: (\d+) embedded, (\d+) reused/.exec(second.stdout) ?? [];
    expect(Number(embedded) + Number(reused)).toBe(900);
    expect(Number(reused)).toBeGreaterThanOrEqual(256);
    expect((await second.client.collection('default')).chunks).toBe(900);
  });

  it('an indexer killed with -9 in the middle is started again and completes the same job', async () => {
    const source = await folder('project');
    await writeManyFiles(source, 700);
    const { client } = await start({ dataDir: await folder('data') });
    const job = await client.createIndexJob({ source: { type: 'directory', path: source }, repo: 'many' });
    let killed = false;
    for await (const { state, progress } of client.watchIndexJob(job.id)) {
      if (!killed && progress.embedded > 0) {
        killed = true;
        process.kill((await processOf(/indexer\/src\/main/)).pid, 'SIGKILL');
      }
      if (isEnded(state)) expect(state).toBe('completed');
      const { chunks } = await client.collection('default').catch(() => ({ chunks: 0 }));
      // Nothing is visible before all of it is; being the first of its repo, full text sees it before it is embedded.
      expect([0, 700]).toContain(chunks);
    }
    expect(killed).toBe(true);
    const { chunks, repos } = await client.collection('default');
    expect(chunks).toBe(700);
    expect(repos).toMatchObject([{ name: 'many', chunks: 700 }]);
  });

  it('the model’s process killed with -9: the search that waited for it is answered by the next one', async () => {
    const source = await folder('project');
    await writeSampleProject(source);
    const { client } = await start({ source, dataDir: await folder('data') });
    const child = await processOf(/inference-child\.ts$/);
    process.kill(child.pid, 'SIGSTOP');
    const search = client.search({ query: 'retry with backoff once', deadlineMs: 20_000 });
    process.kill(child.pid, 'SIGKILL');
    const answer = await search;
    expect(answer.embedding).toMatchObject({ tier: 'cpu', degraded: false, cached: false });
    expect(answer.results[0]?.path).toBe('src/retry.ts');
    expect((await processOf(/inference-child\.ts$/)).pid).not.toBe(child.pid);
  });

  it('a worker that is frozen: a caller who forbids degradation gets a typed error in time', async () => {
    const source = await folder('project');
    await writeSampleProject(source);
    const { client } = await start({ source, dataDir: await folder('data') });
    const worker = await processOf(/worker\/src\/main/);
    process.kill(worker.pid, 'SIGSTOP');
    try {
      await expect(
        client.search({ query: 'retry', deadlineMs: 500, degradation: 'same_space' }),
      ).rejects.toMatchObject({
        code: 'deadline_exceeded',
      });
      await eventually('three missed beats are noticed', async () => {
        const { tiers } = await client.cluster();
        return tiers[0]?.state === 'down';
      });
      await expect(client.search({ query: 'retry', degradation: 'forbid' })).rejects.toMatchObject({
        code: 'no_tier_available',
      });
      const allowed = await client.search({ query: 'retry' });
      expect(allowed.embedding).toMatchObject({ tier: 'none', reason: 'cpu_down' });
      expect(allowed.results[0]?.path).toBe('src/retry.ts');
    } finally {
      process.kill(worker.pid, 'SIGCONT');
    }
    await eventually(
      'the worker carries queries again',
      async () => {
        const { embedding } = await client.search({ query: 'retry' });
        return embedding.tier === 'cpu';
      },
      10_000,
    );
  });

  it('the queue frozen in the middle of a search: a lexical answer in time, and recovery by itself', async () => {
    const source = await folder('project');
    await writeSampleProject(source);
    const { client } = await start({ source, dataDir: await folder('data') });
    const server = await processOf(/^\S*(valkey|redis)-server /);
    process.kill(server.pid, 'SIGSTOP');
    try {
      const startedAt = performance.now();
      const answer = await client.search({ query: 'retry with backoff', deadlineMs: 1_000 });
      expect(performance.now() - startedAt).toBeLessThan(3_000);
      expect(answer.embedding).toMatchObject({ tier: 'none', degraded: true });
      expect(answer.results[0]?.path).toBe('src/retry.ts');
    } finally {
      process.kill(server.pid, 'SIGCONT');
    }
    await eventually('the model answers again', async () => {
      const { embedding } = await client.search({ query: 'retry with backoff' });
      return embedding.tier === 'cpu';
    });
  });
});
