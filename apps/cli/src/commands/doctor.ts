import { toAppError } from '@embergate/contracts/errors.ts';
import { chooseStore } from '@embergate/contracts/settings.ts';
import { findModel, verifyModel } from '@embergate/models/installed-model.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { connectRedis } from '@embergate/queue/connection.ts';
import { findRedisServer } from '@embergate/queue/redis-server.ts';
import { Command } from 'commander';
import { execFile } from 'node:child_process';
import { access, constants, mkdir, statfs } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { resolve } from 'node:path';
import pc from 'picocolors';
import { promisify } from 'node:util';
import {
  clientOf,
  findOptionsOf,
  withRemoteOptions,
  type CliContext,
  type RemoteOptions,
} from '../context.ts';
import { EXIT, print, printJson } from '../output.ts';

interface Finding {
  check: string;
  ok: boolean;
  /** What was found, or what is wrong and what to do about it. */
  detail: string;
}

const run = promisify(execFile);
const MIN_FREE_BYTES = 1e9;
const QUEUE_TIMEOUT_MS = 3_000;

/** Looks at what `up` needs on this machine, and says what to do about what is missing. */
export function doctorCommand(context: CliContext): Command {
  return withRemoteOptions(new Command('doctor').description('what is wrong here')).action(
    async (options: RemoteOptions) => {
      const findings = await Promise.all([
        check(
          'machine',
          async () =>
            `${process.platform} ${process.arch}, ${availableParallelism()} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Node ${process.version}`,
        ),
        check('git', async () => (await run('git', ['--version'])).stdout.trim()),
        check('queue server', () => queueServer(context)),
        check('data folder', () => dataFolder(context)),
        check('vector store', () => vectorStore(context)),
        check('model', () => model(context)),
        check('gateway', () => gateway(context, options)),
      ]);
      if (findings.some(({ ok }) => !ok)) context.setExitCode(EXIT.failed);
      if (options.json) return printJson(findings);
      for (const { check: name, ok, detail } of findings)
        print(`${ok ? pc.green('ok  ') : pc.red('FAIL')} ${name.padEnd(13)} ${detail}`);
    },
  );
}

async function check(name: string, look: () => Promise<string>): Promise<Finding> {
  try {
    return { check: name, ok: true, detail: await look() };
  } catch (thrown) {
    const error = toAppError(thrown);
    return { check: name, ok: false, detail: error.message };
  }
}

async function queueServer({ config }: CliContext): Promise<string> {
  if (config.REDIS_URL !== undefined) {
    const log = createLogger('doctor', 'silent');
    const redis = await connectRedis({
      url: config.REDIS_URL,
      patience: 'fail-fast',
      log,
      timeoutMs: QUEUE_TIMEOUT_MS,
    });
    redis.disconnect();
    return 'the one at REDIS_URL answers';
  }
  return (await findRedisServer(config.PATH)) ?? 'none on the PATH; `embergate up` fetches Valkey';
}

async function dataFolder({ config }: CliContext): Promise<string> {
  const folder = resolve(config.DATA_DIR);
  await mkdir(folder, { recursive: true });
  await access(folder, constants.W_OK);
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free < MIN_FREE_BYTES)
    throw new Error(`${folder} has only ${(free / 1e6).toFixed(0)} MB free; set DATA_DIR to a larger disk`);
  return `${folder}, ${(free / 1e9).toFixed(0)} GB free`;
}

async function vectorStore({ config }: CliContext): Promise<string> {
  const choice = chooseStore(config);
  if (choice.kind === 'lancedb') return 'LanceDB, in the data folder';
  const { openQdrantStore } = await import('@embergate/vector-store-qdrant/qdrant-store.ts');
  const store = await openQdrantStore(choice);
  await store.ping();
  return `the Qdrant at ${choice.url} answers`;
}

async function model(context: CliContext): Promise<string> {
  const installed = await findModel(context.config.EMBEDDING_MODEL, findOptionsOf(context));
  await verifyModel(installed);
  return `${installed.name} (${installed.variant}) in ${installed.folder}, checksums right`;
}

async function gateway(context: CliContext, options: RemoteOptions): Promise<string> {
  const client = clientOf(context, options);
  const { status, checks } = await client.readiness();
  const wrong = Object.entries(checks).filter(([, state]) => state !== 'ok');
  if (status !== 'ok')
    throw new Error(
      `${client.url} is not ready: ${wrong.map(([name, state]) => `${name}: ${state}`).join('; ')}`,
    );
  return `${client.url} is ready`;
}
