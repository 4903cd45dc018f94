import { modelSettings } from '@embergate/contracts/settings.ts';
import { spaceId } from '@embergate/contracts/space.ts';
import { catalogModel } from '@embergate/models/catalog.ts';
import type { RerankerModel } from '@embergate/models/catalog-schema.ts';
import { keptCheckout } from '@embergate/models/checkout-store.ts';
import { readableBytes } from '@embergate/models/disk-space.ts';
import { readCatalog } from '@embergate/models/own-catalog.ts';
import { pullCheckout, pullVariants } from '@embergate/models/pull.ts';
import { pullReranker } from '@embergate/models/pull-reranker.ts';
import type { PullOptions } from '@embergate/models/pull-options.ts';
import { Command, InvalidArgumentError, Option } from 'commander';
import { pullOptionsOf, type CliContext } from '../context.ts';
import { print, printJson } from '../output.ts';
import { pullView } from '../pull-view.ts';

interface Flags {
  variant?: string;
  mirror?: string;
  hub?: string;
  from?: string;
  keepCheckout?: boolean;
  json?: boolean;
}

function address(text: string): string {
  const parsed = modelSettings.MODEL_HUB_URL.safeParse(text);
  if (parsed.success) return text;
  throw new InvalidArgumentError(`It ${parsed.error.issues[0]?.message}.`);
}

export function pullCommand(context: CliContext): Command {
  return new Command('pull')
    .description('fetch a model and build it, or repair it; every file is checked by its sum')
    .argument('<name>', 'of `embergate model list`')
    .option('--variant <list>', 'what to build, such as int4 or int4,int8 (default: EMBEDDING_VARIANT)')
    .addOption(
      new Option('--mirror <url>', 'ask this one before the hub (default: MODEL_MIRROR_URL)').argParser(
        address,
      ),
    )
    .addOption(
      new Option(
        '--hub <url>',
        'the model hub (default: MODEL_HUB_URL, or https://huggingface.co)',
      ).argParser(address),
    )
    .option('--from <folder>', 'take the files from this folder, as a clone of the repository has them')
    .option('--keep-checkout', 'keep the fetched files after the build, for other variants')
    .option('--json', 'print JSON')
    .action(async (name: string, flags: Flags) => pull(context, name, flags));
}

async function pull(context: CliContext, name: string, flags: Flags): Promise<void> {
  const { config } = context;
  const given = pullOptionsOf(context);
  const view = pullView(name);
  const variants = (flags.variant ?? config.EMBEDDING_VARIANT)?.split(',').map((variant) => variant.trim());
  const options: PullOptions = {
    ...given,
    ...view,
    variants,
    device: config.EMBEDDING_DEVICE === 'cuda' || config.EMBEDDING_DEVICE === 'webgpu' ? 'gpu' : 'cpu',
    hubUrl: flags.hub ?? given.hubUrl,
    mirrorUrl: flags.mirror ?? given.mirrorUrl,
    sourceFolder: flags.from,
    keepCheckout: flags.keepCheckout,
  };
  const model = catalogModel(name, await readCatalog(options.catalogFile));
  try {
    if (model.kind === 'reranker') {
      const ofFlag = flags.variant === undefined ? undefined : variants; // EMBEDDING_VARIANT is another model's
      return await pullRanking(model, { ...options, variants: ofFlag }, flags.json);
    }
    const installed = await pullVariants(name, options);
    view.end();
    const checkout = await keptCheckout(options.modelDir, model);
    const [first] = installed;
    if (flags.json)
      return printJson({
        name,
        variant: first?.variant,
        folder: first?.folder,
        space: spaceId(model.space),
        installed: installed.map(({ variant, folder }) => ({ variant, folder })),
        checkout: checkout?.folder ?? null,
      });
    for (const { variant, folder } of installed) print(`${name} (${variant}) is in ${folder}`);
    if (checkout)
      print(
        `Its checkout stays in ${checkout.folder} (${readableBytes(checkout.bytes)}): delete it to free that.`,
      );
  } finally {
    view.end();
  }
}

/** A cross-encoder is built; another reranker is fetched for a server of the user's. */
async function pullRanking(model: RerankerModel, options: PullOptions, asJson = false): Promise<void> {
  const { name, kind } = model;
  if (model.crossEncoder) {
    const { variant, folder } = await pullReranker(name, options);
    if (asJson) return printJson({ name, kind, variant, folder });
    return print(`${name} (${variant}) is in ${folder}. Use it with RERANKER=${name}`);
  }
  const { folder } = await pullCheckout(name, options);
  if (asJson) return printJson({ name, kind, checkout: folder });
  print(
    `${name} is in ${folder}. Serve it, and name its chat API in RERANK_URL: nothing is built of it here.`,
  );
}
