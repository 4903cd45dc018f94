import { spaceId } from '@embergate/contracts/space.ts';
import { startModelHub, type ModelHub } from '@embergate/testing/model-hub.ts';
import { SMALL_NOMIC } from '@embergate/testing/random-architectures.ts';
import { writeRandomCheckpoint } from '@embergate/testing/random-checkpoint.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pullVariants } from '../src/pull.ts';

const REVISION = '0123456789abcdef0123456789abcdef01234567';

/** As CodeRankEmbed is published: nomic_bert, pooled by its first token, and no module that normalises. */
describe('an encoder of the catalog whose checkout leaves it to its reader to normalise', () => {
  let home: Awaited<ReturnType<typeof temporaryFolder>>;
  let hub: ModelHub;

  beforeAll(async () => {
    home = await temporaryFolder('pull-encoder');
    const repository = join(home.path, 'repository');
    const shape = { ...SMALL_NOMIC, pooling: 'cls', normalize: false } as const;
    await writeRandomCheckpoint(repository, { shape, type: 'F32' });
    await writeFile(join(repository, 'tokenizer.json'), '{}');
    hub = await startModelHub({ folder: repository, repository: 'acme/rank', revision: REVISION });
    const entry = {
      kind: 'embedding',
      space: {
        model: 'acme-rank',
        revision: REVISION,
        dimensions: shape.hidden,
        pooling: 'cls',
        normalize: true,
        prompts: { query: 'find: ', document: '' },
      },
      license: 'MIT',
      maxTokens: 8_192,
      parameters: 700_000,
      variants: ['fp32', 'int8'],
      defaultVariant: { cpu: 'fp32', gpu: 'fp32' },
      sources: { hub: 'acme/rank' },
    };
    await writeFile(join(home.path, 'models.json'), JSON.stringify({ models: [entry] }));
  });
  afterAll(async () => {
    await hub.close();
    await home.remove();
  });

  it('is built under the entry’s space, and its vectors have length 1', async () => {
    const installed = await pullVariants('acme-rank', {
      modelDir: home.path,
      catalogFile: join(home.path, 'models.json'),
      hubUrl: hub.url,
      variants: ['fp32', 'int8'],
    });
    expect(new Set(installed.map(({ space }) => spaceId(space))).size).toBe(1);
    for (const { onnxPath, maxTokens } of installed) {
      // What the entry says, or what the model can read, where that is less.
      expect(maxTokens).toBe(SMALL_NOMIC.positions);
      const session = await InferenceSession.create(onnxPath, { logSeverityLevel: 4 });
      const ids = BigInt64Array.from([3n, 14n, 15n, 92n]);
      const feeds = Object.fromEntries(
        session.inputNames.map((name) => [
          name,
          new Tensor(
            'int64',
            name === 'input_ids' ? ids : ids.map(() => (name === 'attention_mask' ? 1n : 0n)),
            [1, 4],
          ),
        ]),
      );
      const outputs = await session.run(feeds);
      const vector = Object.values(outputs)[0]!.data as Float32Array;
      expect(vector).toHaveLength(SMALL_NOMIC.hidden);
      expect(Math.hypot(...vector)).toBeCloseTo(1, 4);
      await session.release();
    }
  });
});
