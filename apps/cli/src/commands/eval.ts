import { AppError } from '@embergate/contracts/errors.ts';
import type { IndexJob } from '@embergate/contracts/index-job.ts';
import { defaultModelDir } from '@embergate/models/installed-model.ts';
import cliProgress from 'cli-progress';
import { Command, InvalidArgumentError } from 'commander';
import { execFile } from 'node:child_process';
import { dirname, resolve } from 'node:path';
import { promisify } from 'node:util';
import { clientOf, withRemoteOptions, type CliContext, type RemoteOptions } from '../context.ts';
import { ask, type Answers } from '../eval/ask.ts';
import { readCorpus, sampleCorpus, type EvalItem } from '../eval/corpus.ts';
import { withIndexedCorpus } from '../eval/indexed-corpus.ts';
import { reportOf, reportTable } from '../eval/report.ts';
import { sweep, sweepTable } from '../eval/sweep.ts';
import { print, printJson } from '../output.ts';

interface EvalOptions extends RemoteOptions {
  limit: number;
  seed: number;
  offset: number;
  sweep?: boolean;
  keep?: boolean;
  workDir?: string;
}

/** Chunks asked for: enough that ten different functions are among them, for a long one is several chunks. */
const CHUNKS = 30;
/** A sweep needs the lists as deep as they go. */
const SWEEP_CHUNKS = 100;

export function evalCommand(context: CliContext): Command {
  const command = new Command('eval')
    .description(
      'measure retrieval quality: Python functions, asked for by the first sentence of their docstrings',
    )
    .argument('[folder]', 'a folder of Python code (default: the standard library of python3)')
    .option('--limit <n>', 'how many functions', positive, 800)
    .option('--seed <n>', 'which functions, and which resamples', wholeNumber, 1)
    .option('--offset <n>', "leave out the first n of the seed's order: functions to tune on", wholeNumber, 0)
    .option('--sweep', 'also merge the dense and the lexical lists in other ways')
    .option('--keep', 'keep the collection')
    .option(
      '--work-dir <folder>',
      'for the temporary files, where the gateway may index (default: the user’s cache)',
    );
  return withRemoteOptions(command).action((folder: string | undefined, options: EvalOptions) =>
    evaluate(context, folder, options),
  );
}

async function evaluate(context: CliContext, given: string | undefined, options: EvalOptions): Promise<void> {
  const { limit, seed, offset } = options;
  const client = clientOf(context, options);
  await client.readiness(); // the usual mistake is that nothing runs, and reading a library takes seconds
  const folder = given === undefined ? await standardLibrary() : resolve(given);
  const found = await readCorpus(folder);
  const items = sampleCorpus(found, { limit, seed, offset });
  if (items.length === 0)
    throw new AppError('usage', `--offset ${offset} leaves none of ${found.length} functions.`);
  const collection = `eval-${seed}`;
  const { job, answers } = await withIndexedCorpus(client, items, {
    collection,
    workDir: resolve(options.workDir ?? cacheFolder(context)),
    keep: options.keep ?? false,
    signal: context.signal,
    use: async (job) => ({ job, answers: await askAll(context, items, { ...options, collection }) }),
  });
  const about = { folder, seed, offset, ...corpusFigures(items, job) };
  const report = reportOf(items, answers, seed);
  const swept = options.sweep ? sweep(items, answers) : null;
  if (options.json) return printJson({ ...about, ...report, ...(swept && { sweep: swept }) });
  print(
    `${about.functions} of ${found.length} functions of ${folder} (seed ${seed}, from ${offset}), ${about.chunks} chunks;`,
  );
  print(`${about.namingTheFunction} questions hold the function's name.\n`);
  print(reportTable(report));
  if (swept) print(`\n${sweepTable(swept)}`);
}

async function askAll(
  context: CliContext,
  items: readonly EvalItem[],
  options: EvalOptions & { collection: string },
): Promise<Answers> {
  const { stderr } = process;
  const bar = new cliProgress.SingleBar(
    {
      stream: stderr,
      format: 'asking [{bar}] {percentage}% | {value}/{total} | {eta} s left',
      hideCursor: true,
    },
    cliProgress.Presets.shades_classic,
  );
  const total = items.length * 3;
  if (stderr.isTTY) bar.start(total, 0);
  else stderr.write(`Asking ${total} questions ...\n`);
  try {
    return await ask(clientOf(context, options), items, {
      collection: options.collection,
      limit: options.sweep ? SWEEP_CHUNKS : CHUNKS,
      signal: context.signal,
      onAnswer: () => void (stderr.isTTY && bar.increment()),
    });
  } finally {
    if (stderr.isTTY) bar.stop();
  }
}

const corpusFigures = (items: readonly EvalItem[], { progress }: IndexJob) => ({
  functions: items.length,
  chunks: progress.chunks,
  namingTheFunction: items.filter(({ namesFunction }) => namesFunction).length,
});

/** Beside the models: below the user's home, which a gateway on this machine may index unless told otherwise. */
const cacheFolder = ({ home }: CliContext): string =>
  dirname(defaultModelDir({ home, platform: process.platform }));

async function standardLibrary(): Promise<string> {
  const program = 'import sysconfig; print(sysconfig.get_paths()["stdlib"])';
  try {
    const { stdout } = await promisify(execFile)('python3', ['-c', program]);
    return stdout.trim();
  } catch (cause) {
    throw new AppError('source_not_found', 'python3 was not found: name a folder of Python code.', { cause });
  }
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('A whole number is expected.');
  return Number(text);
}

function positive(text: string): number {
  if (wholeNumber(text) === 0) throw new InvalidArgumentError('At least 1 is expected.');
  return Number(text);
}
