import type { AdoptionPreview, AdoptionRequest } from '@embergate/contracts/adoption.ts';
import { AppError, ERROR_KINDS, type ErrorCode } from '@embergate/contracts/errors.ts';
import { Command } from 'commander';
import pc from 'picocolors';
import { clientOf, withRemoteOptions, type CliContext, type RemoteOptions } from '../context.ts';
import { followOrTell } from '../follow-job.ts';
import { print, printJson, table } from '../output.ts';

interface AdoptOptions extends RemoteOptions {
  from: string;
  vector?: string;
  field: string[];
  repo?: string;
  space?: string;
  lexical: boolean;
  yes?: boolean;
  detach?: boolean;
}

const ROLES = ['text', 'path', 'repo', 'language', 'symbol', 'startLine', 'endLine'] as const;
const SHOWN_REPOS = 10;
const SNIPPET_CHARACTERS = 100;

export function adoptCommand(context: CliContext): Command {
  const command = new Command('adopt')
    .description(
      'make a collection of Qdrant that another program filled searchable, without embedding it again',
    )
    .argument('<name>', 'the collection of Embergate that takes it in')
    .requiredOption('--from <collection>', 'its name in the Qdrant at the gateway’s QDRANT_URL; only read')
    .option('--vector <name>', 'the dense vector, where it has several')
    .option(
      '--field <role=field>',
      `the payload field of a role (${ROLES.join(', ')}), such as path=metadata.source; guessed otherwise`,
      (value: string, earlier: string[]) => [...earlier, value],
      [],
    )
    .option('--repo <name>', 'the repo of points that name none (default: the name in Qdrant)')
    .option(
      '--space <space>',
      'the space of the vectors, as `embergate status` names it (default: the gateway’s)',
    )
    .option('--lexical', 'full-text search finds it too', true)
    .option('--no-lexical', 'dense search only')
    .option('-y, --yes', 'do it; without this it only says what it would do')
    .option('-d, --detach', 'do not wait for the end');
  return withRemoteOptions(command).action(async (name: string, options: AdoptOptions) => {
    const client = clientOf(context, options);
    const request = requestOf(options);
    if (!options.yes) {
      const preview = await client.previewAdoption(name, request);
      if (options.json) printJson(preview);
      else showPreview(preview);
      const [problem] = preview.problems;
      if (problem) throw failure(problem);
      return;
    }
    const jobs = await client.adoptCollection(name, request);
    for (const job of jobs) await followOrTell(client, job, { context, ...options });
  });
}

function requestOf({ from, vector, field, repo, space, lexical }: AdoptOptions): AdoptionRequest {
  const fields: AdoptionRequest['fields'] = {};
  for (const text of field) {
    const [role = '', ...way] = text.split('=');
    const known = ROLES.find((one) => one === role);
    if (known === undefined || way.length === 0) {
      throw new AppError(
        'usage',
        `--field is "${text}"; it must be ROLE=FIELD, with a role of ${ROLES.join(', ')}.`,
      );
    }
    fields[known] = way.join('=');
  }
  return {
    ...{ from, fields, lexical },
    ...(vector !== undefined && { vector }),
    ...(repo !== undefined && { repo }),
    ...(space !== undefined && { space }),
  };
}

function showPreview(preview: AdoptionPreview): void {
  const { from, collection, points, fields, payloadFields, repos, sample, problems } = preview;
  print(`${from} in Qdrant: ${points} points, ${vectorWords(preview)}`);
  print(
    `It would be copied into ${pc.bold(collection)}, stamped with ${preview.space}; nothing is embedded.`,
  );
  print('');
  const seen = new Map(payloadFields.map((seenField) => [seenField.field, seenField]));
  const rows = ROLES.map((role) => {
    const field = fields[role];
    const { share = 0, example = '' } = (field === undefined ? undefined : seen.get(field)) ?? {};
    return [role, field ?? '-', field === undefined ? '' : `${(share * 100).toFixed(0)}%`, oneLine(example)];
  });
  print(table([['ROLE', 'FIELD', 'OF POINTS', 'EXAMPLE'], ...rows]));
  const used = new Set(Object.values(fields));
  const unused = payloadFields.map(({ field }) => field).filter((field) => !used.has(field));
  if (unused.length > 0) print(pc.dim(`not used: ${unused.join(', ')}`));
  print('');
  print(
    table([
      ['REPO', 'POINTS'],
      ...repos.slice(0, SHOWN_REPOS).map((repo) => [repo.name, String(repo.points)]),
    ]),
  );
  if (repos.length > SHOWN_REPOS) print(pc.dim(`... and ${repos.length - SHOWN_REPOS} more repos`));
  for (const chunk of sample) {
    print('');
    print(
      `${pc.bold(`${chunk.repo}:${chunk.path}:${chunk.startLine}-${chunk.endLine}`)}  ${chunk.language}  ${pc.cyan(chunk.symbol)}`,
    );
    print(pc.dim(`      ${oneLine(chunk.text)}`));
  }
  print('');
  print(agreementWords(preview));
  for (const { message } of problems.slice(1)) print(pc.red(`! ${message}`));
  if (problems.length === 0) print('Other fields: --field ROLE=FIELD. Go on with --yes.');
}

function vectorWords({ vector, lengths, dimensions }: AdoptionPreview): string {
  if (vector === null) return `no single dense vector of ${dimensions} dimensions`;
  const name = vector.name === '' ? 'the vector without a name' : `the vector "${vector.name}"`;
  const range =
    lengths === null
      ? ''
      : `, lengths from ${lengths.min.toFixed(4)} to ${lengths.max.toFixed(4)} in ${lengths.sampled} samples`;
  return `${name} of ${vector.dimensions} dimensions (${vector.distance})${range}`;
}

function agreementWords({ agreement, space }: AdoptionPreview): string {
  if (agreement === null)
    return pc.yellow(
      `No tier compared texts with their vectors: that they are of ${space} is taken on trust.`,
    );
  const { texts, min, mean } = agreement;
  return `${texts} of the texts, embedded anew, have a mean cosine of ${mean.toFixed(3)} with their vectors (least ${min.toFixed(3)}).`;
}

const oneLine = (text: string): string => text.replace(/\s+/g, ' ').trim().slice(0, SNIPPET_CHARACTERS);

const failure = ({ code, message }: { code: string; message: string }): AppError =>
  new AppError(code in ERROR_KINDS ? (code as ErrorCode) : 'vectors_invalid', message);
