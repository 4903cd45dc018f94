import { AppError } from '@embergate/contracts/errors.ts';
import { spaceId } from '@embergate/contracts/space.ts';
import { BUILD_VARIANTS, type BuildVariant } from '@embergate/models/build-checkout.ts';
import { nameOf } from '@embergate/models/catalog-schema.ts';
import { isCrossEncoder } from '@embergate/models/cross-encoder-checkout.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';
import type { InstalledReranker } from '@embergate/models/installed-reranker.ts';
import { readCatalog } from '@embergate/models/own-catalog.ts';
import { pullModel } from '@embergate/models/pull.ts';
import { Command, Option } from 'commander';
import { buildModelFolder, buildRerankerFolder } from '../build-model.ts';
import { pullOptionsOf, type CliContext } from '../context.ts';
import { print, printJson } from '../output.ts';
import { pullView } from '../pull-view.ts';

interface Flags {
  variant?: BuildVariant;
  out?: string;
  from?: string;
  json?: boolean;
}

const FOLDER_VARIANT: BuildVariant = 'int4';

export function buildCommand(context: CliContext): Command {
  return new Command('build')
    .description('build a model out of a Hugging Face checkout (safetensors); nothing is fetched')
    .argument(
      '<source>',
      'a folder, or a name of the catalog: its checkout must be kept, or named with --from',
    )
    .option(
      '--out <folder>',
      'where the build goes; needed for a folder, and EMBEDDING_MODEL or RERANKER can then name it',
    )
    .option('--from <folder>', 'for a name: the folder that holds its checkout')
    .addOption(
      new Option(
        '--variant <variant>',
        `how its weights are stored (default: ${FOLDER_VARIANT}, of a cross-encoder fp32, or the catalog's)`,
      ).choices(BUILD_VARIANTS),
    )
    .option('--json', 'print JSON')
    .action(async (source: string, flags: Flags) => {
      const built = await build(context, source, flags);
      const { name, variant, folder } = built;
      const embeds = 'space' in built;
      if (flags.json) printJson({ name, variant, folder, ...(embeds && { space: spaceId(built.space) }) });
      else {
        const use = flags.out === undefined ? name : folder;
        print(
          `${name} (${variant}) is in ${folder}. Use it with ${embeds ? 'EMBEDDING_MODEL' : 'RERANKER'}=${use}`,
        );
      }
    });
}

async function build(
  context: CliContext,
  source: string,
  flags: Flags,
): Promise<InstalledModel | InstalledReranker> {
  const { variant, out, from } = flags;
  const { signal } = context;
  const options = pullOptionsOf(context);
  const catalog = await readCatalog(options.catalogFile);
  if (!catalog.some((model) => nameOf(model) === source)) {
    if (out === undefined) throw new AppError('usage', 'A folder needs --out: where the build goes.');
    if (from !== undefined) throw new AppError('usage', '--from belongs to a name of the catalog.');
    // A cross-encoder is small, and the order of close passages is lost with less.
    if (await isCrossEncoder(source))
      return buildRerankerFolder({ folder: source, variant: variant ?? 'fp32', out, signal });
    return buildModelFolder({ folder: source, variant: variant ?? FOLDER_VARIANT, out, signal });
  }
  const view = pullView(source);
  try {
    const variants = variant === undefined ? undefined : [variant];
    return await pullModel(source, {
      ...options,
      ...view,
      variants,
      out,
      sourceFolder: from,
      isOffline: true,
    });
  } finally {
    view.end();
  }
}
