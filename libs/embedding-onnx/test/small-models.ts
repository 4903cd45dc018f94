import { buildCheckout, type BuildVariant } from '@embergate/models/build-checkout.ts';
import { readCheckout } from '@embergate/models/checkout.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { SMALL_QWEN2 } from '@embergate/testing/random-architectures.ts';
import { writeRandomCheckpoint, type CheckpointOptions } from '@embergate/testing/random-checkpoint.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OnnxBackend, type OnnxBackendOptions } from '../src/onnx-backend.ts';

export const cosine = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);

export const text = (length: number, seed = 1): Uint32Array =>
  Uint32Array.from({ length }, (_, at) => 1 + ((at * 37 + seed * 11) % (SMALL_QWEN2.vocabulary - 1)));

/** Small models with random weights in a folder of their own, and the backends that run them. */
export class SmallModels {
  readonly #folder: Awaited<ReturnType<typeof temporaryFolder>>;
  readonly #backends: OnnxBackend[] = [];

  private constructor(folder: Awaited<ReturnType<typeof temporaryFolder>>) {
    this.#folder = folder;
  }

  static async open(name: string): Promise<SmallModels> {
    return new SmallModels(await temporaryFolder(name));
  }

  get path(): string {
    return this.#folder.path;
  }

  async run(
    options: Pick<OnnxBackendOptions, 'onnxPath'> & Partial<OnnxBackendOptions>,
  ): Promise<OnnxBackend> {
    const common = { dimensions: SMALL_QWEN2.hidden, padTokenId: 0, mayBeSoftware: true, threads: 2 };
    const backend = await OnnxBackend.create({ ...common, log: createLogger('test', 'silent'), ...options });
    this.#backends.push(backend);
    return backend;
  }

  async build(
    variant: BuildVariant,
    shape: CheckpointOptions['shape'] = SMALL_QWEN2,
  ): Promise<InstalledModel> {
    const name = `${variant}-${'kind' in shape ? shape.kind : 'qwen2'}`;
    const checkout = join(this.path, `checkout-${name}`);
    await writeRandomCheckpoint(checkout, { shape, type: 'F32' });
    await writeFile(join(checkout, 'tokenizer.json'), '{}');
    return buildCheckout(await readCheckout(checkout), { variant, out: join(this.path, name) });
  }

  async closeBackends(): Promise<void> {
    for (const backend of this.#backends.splice(0)) await backend.close();
  }

  async remove(): Promise<void> {
    await this.#folder.remove();
  }
}
