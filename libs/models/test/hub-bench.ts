import { startModelHub, type HubOptions, type ModelHub } from '@embergate/testing/model-hub.ts';
import { SMALL_QWEN2 } from '@embergate/testing/random-architectures.ts';
import { writeRandomCheckpoint } from '@embergate/testing/random-checkpoint.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { createHash } from 'node:crypto';
import { access, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { findModel } from '../src/installed-model.ts';
import { pullModel } from '../src/pull.ts';
import type { PullOptions } from '../src/pull-options.ts';

/** Nothing listens on the discard port. */
export const NO_HUB = 'http://127.0.0.1:9';
export const NAME = 'tiny-code';
export const REPOSITORY = 'acme/tiny-code';
export const REVISION = '0123456789abcdef0123456789abcdef01234567';
export const SHARDS = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;
export const ENTRY = {
  kind: 'embedding',
  space: {
    model: NAME,
    revision: REVISION,
    dimensions: SMALL_QWEN2.hidden,
    pooling: 'last',
    normalize: true,
    prompts: { query: 'find: ', document: '' },
  },
  license: 'MIT',
  maxTokens: 1_000,
  parameters: 600_000,
  variants: ['int4', 'int8', 'fp32'],
  defaultVariant: { cpu: 'int8', gpu: 'fp32' },
  sources: { hub: REPOSITORY },
};
type Entry = Record<string, unknown>;

let home: Awaited<ReturnType<typeof temporaryFolder>>;
/** As its authors would have it on the hub: with what nobody should fetch. */
export let repository: string;
export let files: string[];
export let modelDir: string;
export let catalogFile: string;
export const hubs: ModelHub[] = [];
let tests = 0;

export const catalog = (...models: Entry[]) => writeFile(catalogFile, JSON.stringify({ models }));

export async function hub(options: Partial<HubOptions> = {}): Promise<ModelHub> {
  const place = { folder: repository, repository: REPOSITORY, revision: REVISION };
  const started = await startModelHub({ ...place, ...options });
  hubs.push(started);
  return started;
}

export const pull = (options: Partial<PullOptions> = {}) =>
  pullModel(NAME, { modelDir, catalogFile, hubUrl: NO_HUB, ...options });
export const find = (variant?: string) => findModel(NAME, { modelDir, catalogFile, variant });
export const revisionFolder = () => join(modelDir, NAME, REVISION.slice(0, 8));
export const checkout = () => join(revisionFolder(), 'checkout');
export const there = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );
export const sha256 = async (path: string) =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
export const manifestOf = async (folder: string) =>
  JSON.parse(await readFile(join(folder, 'embergate-model.json'), 'utf8'));
/** The file with one bit changed. */
export async function changed(path: string): Promise<Buffer> {
  const content = await readFile(join(repository, path));
  content[content.length - 1]! ^= 1;
  return content;
}
export const isFile = (path: string) => (request: { path: string }) => request.path === `/storage/${path}`;

/** Gives each test of a file an empty folder for models, and the entry above in its catalog. */
export function useHub(): void {
  beforeAll(async () => {
    home = await temporaryFolder('pull-checkout');
    repository = join(home.path, 'repository');
    await writeRandomCheckpoint(repository, { shape: SMALL_QWEN2, type: 'BF16', shards: 2 });
    await writeFile(join(repository, 'tokenizer.json'), '{}');
    files = (await readdir(repository, { recursive: true, withFileTypes: true }))
      .filter((found) => found.isFile())
      .map((found) => join(found.parentPath, found.name).slice(repository.length + 1))
      .sort();
    for (const path of [
      'README.md',
      'pytorch_model.bin',
      'modeling_tiny.py',
      'onnx/model.onnx',
      'vocab.json',
    ]) {
      await mkdir(join(repository, path, '..'), { recursive: true });
      await writeFile(join(repository, path), path);
    }
  });
  afterAll(() => home.remove());
  beforeEach(async () => {
    modelDir = join(home.path, `models-${tests++}`);
    await mkdir(modelDir);
    catalogFile = join(modelDir, 'models.json');
    await catalog(ENTRY);
  });
  afterEach(async () => {
    for (const hub of hubs.splice(0)) await hub.close();
    await rm(modelDir, { recursive: true, force: true });
  });
}
