import { readGoldens, shippedGoldens } from '@embergate/models/goldens.ts';
import { findModel } from '@embergate/models/installed-model.ts';
import { Command, InvalidArgumentError, Option } from 'commander';
import pc from 'picocolors';
import { openOnCpu } from '../compose.ts';
import { modelDirOf, type CliContext } from '../context.ts';
import { EXIT, print, printJson, table } from '../output.ts';
import type { Agreement } from '../verify/agreement.ts';
import { verifyInstalled, type Verification } from '../verify/verify-model.ts';

interface VerifyFlags {
  against?: string;
  goldens?: string;
  minCosine: number;
  minOverlap: number;
  json?: boolean;
}

function share(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 1))
    throw new InvalidArgumentError('It must be a number from 0 to 1.');
  return value;
}

export function verifyCommand(context: CliContext): Command {
  const modelDir = modelDirOf(context);
  return new Command('verify')
    .description('try an installed model: its files, its vectors, and how near they are to those of others')
    .argument('<name-or-folder>', 'a name of the catalog, or a folder with a built model')
    .option('--against <name-or-folder>', 'another variant of the same model, to compare with')
    .option('--goldens <file>', 'vectors made by the model’s own code, as JSON (docs/embedding-alignment.md)')
    .addOption(new Option('--min-cosine <share>', 'floor of every cosine').argParser(share).default(0.95))
    .addOption(new Option('--min-overlap <share>', 'floor of the overlap').argParser(share).default(0.5))
    .option('--json', 'print JSON')
    .action(async (nameOrFolder: string, flags: VerifyFlags) => {
      const model = await findModel(nameOrFolder, { modelDir });
      const against = flags.against === undefined ? null : await findModel(flags.against, { modelDir });
      const goldens = await (flags.goldens === undefined
        ? shippedGoldens(model.name)
        : readGoldens(flags.goldens));
      const stream = process.stderr;
      const verification = await verifyInstalled(model, {
        open: openOnCpu,
        goldens,
        against,
        floors: { cosine: flags.minCosine, overlap: flags.minOverlap },
        signal: context.signal,
        onStep: (step) => void (stream.isTTY && stream.write(`\r\x1b[2K${pc.dim(`${step} ...`)}`)),
      }).finally(() => stream.isTTY && stream.write('\r\x1b[2K'));
      if (!verification.ok) context.setExitCode(EXIT.failed);
      if (flags.json) printJson(verification);
      else print(reportOf(verification));
    });
}

function reportOf(found: Verification): string {
  const { name, variant, folder, ok, device, queryMs, batch, goldens, against } = found;
  const rows = [
    ['files', 'as they were installed'],
    ['query', `${queryMs.toFixed(1)} ms on ${device}`],
    ['alone and in a batch', agreementText(batch)],
    [
      'its own code',
      goldens
        ? `${agreementText(goldens)}; ${idsText(goldens)}`
        : 'no goldens: see docs/embedding-alignment.md',
    ],
  ];
  if (against) rows.push([`${against.variant} in ${against.folder}`, agreementText(against)]);
  const verdict = ok ? pc.green('agrees') : pc.red('does not agree: do not use it');
  return `${name} (${variant}) in ${folder}\n${table(rows)}\n${verdict}`;
}

const agreementText = ({ cosine, overlap }: Agreement): string =>
  `cosine ${cosine.least.toFixed(6)} at least, median ${cosine.median.toFixed(6)}` +
  (overlap === null ? '' : `; nearest texts shared ${(100 * overlap).toFixed(0)}%`);

function idsText({ texts, otherIds }: NonNullable<Verification['goldens']>): string {
  if (otherIds === null) return `${texts} texts`;
  return otherIds === 0
    ? `${texts} texts, token ids equal`
    : `${otherIds} of ${texts} texts have other token ids`;
}
