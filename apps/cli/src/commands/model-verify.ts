import { readGoldens, shippedGoldens } from '@embergate/models/goldens.ts';
import { BUILD_VARIANTS } from '@embergate/models/build-checkout.ts';
import { findModel, type InstalledModel } from '@embergate/models/installed-model.ts';
import { Command, InvalidArgumentError, Option } from 'commander';
import pc from 'picocolors';
import { openOnCpu } from '../compose.ts';
import { findOptionsOf, type CliContext } from '../context.ts';
import { EXIT, print, printJson, table } from '../output.ts';
import type { Agreement } from '../verify/agreement.ts';
import { verifyInstalled, type Verification } from '../verify/verify-model.ts';

interface VerifyFlags {
  variant?: string;
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
  return new Command('verify')
    .description('try an installed model: its files, its vectors, and how near they are to those of others')
    .argument('<name-or-folder>', 'a name of the catalog, or a folder with a built model')
    .addOption(new Option('--variant <variant>', 'which of its builds').choices(BUILD_VARIANTS))
    .option('--against <variant-or-folder>', 'another build of the same model, to compare with')
    .option('--goldens <file>', 'vectors made by the model’s own code, as JSON (docs/embedding-alignment.md)')
    .addOption(new Option('--min-cosine <share>', 'floor of every cosine').argParser(share).default(0.95))
    .addOption(new Option('--min-overlap <share>', 'floor of the overlap').argParser(share).default(0.5))
    .option('--json', 'print JSON')
    .action(async (nameOrFolder: string, flags: VerifyFlags) => {
      const find = (name: string, variant: string | undefined): Promise<InstalledModel> =>
        findModel(name, { ...findOptionsOf(context), variant });
      const model = await find(nameOrFolder, flags.variant ?? context.config.EMBEDDING_VARIANT);
      const isVariant = (BUILD_VARIANTS as readonly (string | undefined)[]).includes(flags.against);
      const against =
        flags.against === undefined
          ? null
          : await (isVariant ? find(nameOrFolder, flags.against) : find(flags.against, undefined));
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
