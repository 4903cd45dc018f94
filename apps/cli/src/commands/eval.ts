import { AppError } from '@embergate/contracts/errors.ts';
import { DEFAULT_COLLECTION } from '@embergate/contracts/http-search.ts';
import { defaultModelDir } from '@embergate/models/installed-model.ts';
import cliProgress from 'cli-progress';
import { Command, InvalidArgumentError, Option } from 'commander';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { promisify } from 'node:util';
import { clientOf, withRemoteOptions, type CliContext, type RemoteOptions } from '../context.ts';
import { ask, type Answers } from '../eval/ask.ts';
import { configurationOf, HYBRID, MODES, type Configuration } from '../eval/configuration.ts';
import type { Question } from '../eval/question.ts';
import { CUTOFF, detailsOf, reportOf, reportTable } from '../eval/report.ts';
import { sweep, SWEPT, sweepTable } from '../eval/sweep.ts';
import { TASKS, withTask, type Prepared, type Task } from '../eval/tasks.ts';
import { print, printJson } from '../output.ts';

interface EvalOptions extends RemoteOptions {
  task: Task;
  base: Configuration;
  compare?: Configuration[];
  limit?: number;
  seed: number;
  offset: number;
  recallAt: number;
  collection?: string;
  sweep?: boolean;
  details?: boolean;
  keep?: boolean;
  plainText?: boolean;
  workDir?: string;
}

/** Enough for intervals of a few hundredths. */
const LIMITS: Record<Task, number> = { functions: 800, commits: 200, queries: 10_000 };

export function evalCommand(context: CliContext): Command {
  const command = new Command('eval')
    .description('measure retrieval quality: MRR, nDCG and recall, with intervals')
    .argument(
      '[source]',
      'functions: a folder of code (default: the standard library of python3); commits: a git repository; queries: a JSONL file',
    )
    .addOption(new Option('--task <task>', 'what is asked').choices([...TASKS]).default('functions'))
    .addOption(
      new Option(
        '--compare <fields>',
        'another search to compare with, such as "mode=dense" or "diversify=off"; again for more',
      ).argParser((text: string, before: Configuration[] = []) => [...before, configurationOf(text)]),
    )
    .addOption(
      new Option('--base <fields>', 'the search that is compared')
        .argParser(configurationOf)
        .default(HYBRID, 'hybrid'),
    )
    .option('--limit <n>', 'how many questions (default: 800, of commits 200)', positive)
    .option('--seed <n>', 'which functions, and which resamples', wholeNumber, 1)
    .option('--offset <n>', 'leave out the first n: questions to tune on', wholeNumber, 0)
    .option('--recall-at <n>', 'recall within the first n results', upToHundred, CUTOFF)
    .option('-c, --collection <name>', 'the collection to ask, with --task queries (default: default)')
    .option('--sweep', 'also fuse and arrange the two lists in other ways')
    .option('--plain-text', 'index functions as plain text, cut by lines, to see what syntax brings')
    .option('--details', "with --json: also each question's scores")
    .option('--keep', 'keep the collection')
    .option(
      '--work-dir <folder>',
      'for the temporary files, where the gateway may index (default: the user’s cache)',
    );
  return withRemoteOptions(command).action((source: string | undefined, options: EvalOptions) =>
    evaluate(context, source, options),
  );
}

async function evaluate(context: CliContext, given: string | undefined, options: EvalOptions): Promise<void> {
  const { task, seed } = options;
  if (options.plainText && task !== 'functions')
    throw new AppError(
      'usage',
      '--plain-text is for --task functions: other tasks index no files of their own.',
    );
  const client = clientOf(context, options);
  await client.readiness(); // the usual mistake is that nothing runs, and reading a library takes seconds
  const source = await sourceOf(task, given);
  const collection = collectionOf(options);
  const configurations = [options.base, ...(options.compare ?? MODES)];
  const asked = options.sweep ? [...configurations, ...SWEPT] : configurations;
  const { prepared, answers } = await withTask(client, task, {
    source,
    limit: options.limit ?? LIMITS[task],
    seed,
    offset: options.offset,
    collection,
    keep: options.keep ?? false,
    plainText: options.plainText ?? false,
    workDir: resolve(options.workDir ?? cacheFolder(context)),
    signal: context.signal,
    use: async (prepared) => ({
      prepared,
      answers: await askAll(context, prepared.questions, { ...options, collection, asked }),
    }),
  });
  const report = reportOf(prepared.questions, answers.slice(0, configurations.length), {
    configurations,
    seed,
    recallAt: options.recallAt,
  });
  const swept = options.sweep ? sweep(prepared.questions, answers.slice(configurations.length)) : null;
  const details = options.details
    ? { details: detailsOf(prepared.questions, answers.slice(0, configurations.length), options.recallAt) }
    : {};
  const about = { task, source, collection, seed, offset: options.offset, ...prepared.about };
  if (options.json) return printJson({ ...about, ...report, ...(swept && { sweep: swept }), ...details });
  print(`${heading(prepared)} (${task} of ${source}, seed ${seed}, from ${options.offset})\n`);
  print(reportTable(report));
  if (swept) print(`\n${sweepTable(swept)}`);
}

/** The collection that the other tasks make is their own: deleted at the end, or kept under a name that the next run finds again. */
function collectionOf({ task, collection, seed, keep }: EvalOptions): string {
  if (task === 'queries') return collection ?? DEFAULT_COLLECTION;
  const name = `eval-${task}-${seed}`;
  if (collection === undefined) return keep ? name : `${name}-${randomBytes(4).toString('hex')}`;
  throw new AppError('usage', `--task ${task} makes a collection of its own: leave --collection out.`);
}

async function sourceOf(task: Task, given: string | undefined): Promise<string> {
  if (given !== undefined) return resolve(given);
  if (task === 'functions') return standardLibrary();
  const what = task === 'commits' ? 'a git repository' : 'a file of questions';
  throw new AppError('usage', `--task ${task} needs ${what}: embergate eval --task ${task} <path>`);
}

const heading = ({ about }: Prepared): string =>
  Object.entries(about)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');

interface Asked extends EvalOptions {
  collection: string;
  asked: readonly Configuration[];
}

async function askAll(
  context: CliContext,
  questions: readonly Question[],
  options: Asked,
): Promise<Answers[]> {
  const { stderr } = process;
  const format = 'asking [{bar}] {percentage}% | {value}/{total} | {eta} s left';
  const bar = new cliProgress.SingleBar(
    { stream: stderr, format, hideCursor: true },
    cliProgress.Presets.shades_classic,
  );
  const total = questions.length * options.asked.length;
  if (stderr.isTTY) bar.start(total, 0);
  else stderr.write(`Asking ${total} questions ...\n`);
  try {
    return await ask(clientOf(context, options), questions, {
      configurations: options.asked,
      collection: options.collection,
      limit: Math.max(CUTOFF, options.recallAt),
      signal: context.signal,
      onAnswer: () => void (stderr.isTTY && bar.increment()),
    });
  } finally {
    if (stderr.isTTY) bar.stop();
  }
}

/** Beside the models: below the user's home, which a gateway on this machine may index unless told otherwise. */
const cacheFolder = ({ home }: CliContext): string =>
  dirname(defaultModelDir({ home, platform: process.platform }));

async function standardLibrary(): Promise<string> {
  const program = 'import sysconfig; print(sysconfig.get_paths()["stdlib"])';
  try {
    const { stdout } = await promisify(execFile)('python3', ['-c', program]);
    return stdout.trim();
  } catch (cause) {
    throw new AppError('source_not_found', 'python3 was not found: name a folder of code.', { cause });
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

function upToHundred(text: string): number {
  if (positive(text) > 100) throw new InvalidArgumentError('At most 100: a search has no more results.');
  return Number(text);
}
