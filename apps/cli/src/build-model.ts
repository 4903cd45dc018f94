import { buildCheckout, type BuildVariant } from '@embergate/models/build-checkout.ts';
import { buildCrossEncoder } from '@embergate/models/build-cross-encoder.ts';
import { expectBuildFolder } from '@embergate/models/build-folder.ts';
import { readCheckout } from '@embergate/models/checkout.ts';
import { readCrossEncoder } from '@embergate/models/cross-encoder-checkout.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';
import type { InstalledReranker } from '@embergate/models/installed-reranker.ts';
import cliProgress from 'cli-progress';

interface BuildModelOptions {
  folder: string;
  variant: BuildVariant;
  out: string;
  signal: AbortSignal;
}

type OnProgress = (done: number) => void;

/** Builds a checkout of a model that embeds, with a progress bar on a terminal and a line at the beginning elsewhere. */
export async function buildModelFolder(options: BuildModelOptions): Promise<InstalledModel> {
  await begin(options);
  const checkout = await readCheckout(options.folder, options.signal);
  return withBar(checkout.shape.layers, (onProgress) => buildCheckout(checkout, { ...options, onProgress }));
}

/** The same for a model that ranks pairs. */
export async function buildRerankerFolder(options: BuildModelOptions): Promise<InstalledReranker> {
  await begin(options);
  const checkout = await readCrossEncoder(options.folder);
  return withBar(checkout.shape.layers, (onProgress) =>
    buildCrossEncoder(checkout, { ...options, onProgress }),
  );
}

async function begin({ variant, folder, out }: BuildModelOptions): Promise<void> {
  process.stderr.write(`Building ${variant} of ${folder} ...\n`);
  await expectBuildFolder(out);
}

async function withBar<T>(layers: number, build: (onProgress: OnProgress) => Promise<T>): Promise<T> {
  const stream = process.stderr;
  const bar = new cliProgress.SingleBar(
    { stream, format: '[{bar}] {value}/{total} layers | {eta_formatted} left', hideCursor: true },
    cliProgress.Presets.shades_classic,
  );
  if (stream.isTTY) bar.start(layers + 1, 0);
  try {
    return await build((done) => bar.update(done));
  } finally {
    bar.stop();
  }
}
