import { buildCheckout, type BuildVariant } from '@embergate/models/build-checkout.ts';
import { expectBuildFolder } from '@embergate/models/build-folder.ts';
import { readCheckout } from '@embergate/models/checkout.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';
import cliProgress from 'cli-progress';

interface BuildModelOptions {
  folder: string;
  variant: BuildVariant;
  out: string;
  signal: AbortSignal;
}

/** Builds a checkout of a model, with a progress bar on a terminal and a line at the beginning elsewhere. */
export async function buildModelFolder({
  folder,
  variant,
  out,
  signal,
}: BuildModelOptions): Promise<InstalledModel> {
  const stream = process.stderr;
  stream.write(`Building ${variant} of ${folder} ...\n`);
  await expectBuildFolder(out);
  const checkout = await readCheckout(folder, signal);
  const bar = new cliProgress.SingleBar(
    { stream, format: '[{bar}] {value}/{total} layers | {eta_formatted} left', hideCursor: true },
    cliProgress.Presets.shades_classic,
  );
  const { layers } = checkout.shape;
  if (stream.isTTY) bar.start(layers + 1, 0);
  try {
    return await buildCheckout(checkout, { variant, out, signal, onProgress: (done) => bar.update(done) });
  } finally {
    bar.stop();
  }
}
