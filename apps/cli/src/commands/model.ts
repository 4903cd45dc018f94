import { BUILD_VARIANTS, type BuildVariant } from '@embergate/models/build-checkout.ts';
import { CATALOG } from '@embergate/models/catalog.ts';
import { findModel } from '@embergate/models/installed-model.ts';
import { spaceId } from '@embergate/contracts/space.ts';
import { Command, Option } from 'commander';
import { buildModelFolder } from '../build-model.ts';
import { modelDirOf, type CliContext } from '../context.ts';
import { fetchModel } from '../fetch-model.ts';
import { print, printJson, table } from '../output.ts';
import { verifyCommand } from './model-verify.ts';

export function modelCommand(context: CliContext): Command {
  const modelDir = modelDirOf(context);
  const list = new Command('list')
    .description('the catalog')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const models = await Promise.all(
        CATALOG.map(async ({ space, license, maxTokens }) => {
          const installed = await findModel(space.model, { modelDir }).catch(() => null);
          const { model, dimensions } = space;
          return {
            name: model,
            dimensions,
            maxTokens,
            license,
            space: spaceId(space),
            folder: installed?.folder ?? null,
          };
        }),
      );
      if (json) return printJson(models);
      const rows = models.map(({ name, dimensions, maxTokens, license, folder }) => {
        return [name, String(dimensions), String(maxTokens), license, folder ?? 'not on this machine'];
      });
      print(table([['NAME', 'DIMENSIONS', 'TOKENS', 'LICENCE', 'FOLDER'], ...rows]));
    });
  const pull = new Command('pull')
    .description('fetch a model, or repair it; every file is checked by sha256')
    .argument('<name>')
    .option('--json', 'print JSON')
    .action(async (name: string, { json }: { json?: boolean }) => {
      const installed = await fetchModel(name, { modelDir, signal: context.signal, repair: true });
      if (json) printJson({ name: installed.name, variant: installed.variant, folder: installed.folder });
      else print(`${installed.name} (${installed.variant}) is in ${installed.folder}`);
    });
  return new Command('model')
    .description('models: the catalog, and builds of others')
    .addCommand(list)
    .addCommand(pull)
    .addCommand(buildCommand(context))
    .addCommand(verifyCommand(context));
}

function buildCommand(context: CliContext): Command {
  return new Command('build')
    .description(
      'build a model out of a Hugging Face checkout (safetensors); Qwen2 embedding models such as nomic-embed-code',
    )
    .argument('<folder>', 'the checkout')
    .requiredOption('--out <folder>', 'where the built model goes; EMBEDDING_MODEL can then name it')
    .addOption(
      new Option('--variant <variant>', 'how its weights are stored').choices(BUILD_VARIANTS).default('int4'),
    )
    .option('--json', 'print JSON')
    .action(async (folder: string, options: { out: string; variant: BuildVariant; json?: boolean }) => {
      const { variant, out, json } = options;
      const { name, space, ...built } = await buildModelFolder({
        folder,
        variant,
        out,
        signal: context.signal,
      });
      if (json) printJson({ name, variant, space: spaceId(space), folder: built.folder });
      else print(`${name} (${variant}) is in ${built.folder}. Use it with EMBEDDING_MODEL=${built.folder}`);
    });
}
