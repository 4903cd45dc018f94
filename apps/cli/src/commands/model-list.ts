import { spaceId } from '@embergate/contracts/space.ts';
import {
  defaultVariantOf,
  isDirect,
  nameOf,
  revisionOf,
  variantsOf,
  type CatalogModel,
} from '@embergate/models/catalog-schema.ts';
import { keptCheckout } from '@embergate/models/checkout-store.ts';
import { readableBytes } from '@embergate/models/disk-space.ts';
import { findBuild } from '@embergate/models/installed-model.ts';
import { findRerankerBuild } from '@embergate/models/installed-reranker.ts';
import { readCatalog } from '@embergate/models/own-catalog.ts';
import { Command } from 'commander';
import { modelDirOf, type CliContext } from '../context.ts';
import { print, printJson, table } from '../output.ts';

export function listCommand(context: CliContext): Command {
  return new Command('list')
    .description('the catalog, and what of it is on this machine')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const modelDir = modelDirOf(context);
      const catalog = await readCatalog(context.config.MODEL_CATALOG);
      const models = await Promise.all(catalog.map((model) => describe(model, modelDir)));
      if (json) return printJson(models);
      const heads = ['NAME', 'KIND', 'DIMENSIONS', 'TOKENS', 'LICENCE', 'INSTALLED', 'DOWNLOAD'];
      print(table([heads, ...models.map(row)]));
    });
}

type Listed = Awaited<ReturnType<typeof describe>>;

async function describe(model: CatalogModel, modelDir: string) {
  const installed: { variant: string; folder: string }[] = [];
  for (const variant of variantsOf(model)) {
    const looking =
      model.kind === 'embedding'
        ? findBuild(model, variant, modelDir)
        : findRerankerBuild(model, variant, modelDir);
    const found = await looking.catch(() => null);
    if (found) installed.push({ variant, folder: found.folder });
  }
  const checkout = isDirect(model) ? null : await keptCheckout(modelDir, model);
  const vectors = model.kind === 'embedding' ? model : null;
  return {
    name: nameOf(model),
    kind: model.kind,
    revision: revisionOf(model),
    dimensions: vectors?.space.dimensions ?? null,
    matryoshka: vectors && !isDirect(vectors) ? vectors.matryoshka : [],
    maxTokens: model.maxTokens,
    license: model.license,
    space: vectors ? spaceId(vectors.space) : null,
    variants: variantsOf(model),
    defaultVariant: vectors && {
      cpu: defaultVariantOf(vectors, 'cpu'),
      gpu: defaultVariantOf(vectors, 'gpu'),
    },
    installed,
    folder: installed[0]?.folder ?? null,
    checkout,
    downloadBytes: isDirect(model)
      ? model.files.reduce((sum, { bytes }) => sum + bytes, 0)
      : (model.downloadBytes ?? null),
  };
}

function row({
  name,
  kind,
  dimensions,
  maxTokens,
  license,
  installed,
  checkout,
  downloadBytes,
}: Listed): string[] {
  const there = installed.map(({ variant }) => variant);
  if (checkout?.complete) there.push('checkout');
  const size = downloadBytes === null ? '?' : readableBytes(downloadBytes);
  return [name, kind, String(dimensions ?? '-'), String(maxTokens), license, there.join(' ') || '-', size];
}
