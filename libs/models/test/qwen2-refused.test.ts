import { mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildCheckout, type BuildVariant } from '../src/build-checkout.ts';
import { readCheckout } from '../src/checkout.ts';
import { findModel } from '../src/installed-model.ts';
import { SMALL_QWEN2 } from '@embergate/testing/random-architectures.ts';
import { root, newFolder, checkout, build, useCheckouts } from './qwen2-checkouts.ts';

useCheckouts();
const { layers } = SMALL_QWEN2;

describe('a checkout that is damaged, hostile or something else', () => {
  const refuses = async (folder: string, code: string, words: RegExp) =>
    refusesAt('int4', folder, { code, words });
  const refusesAt = async (
    variant: BuildVariant,
    folder: string,
    { code, words }: { code: string; words: RegExp },
  ) => {
    const out = newFolder();
    await expect(build(folder, variant, out)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(words),
    });
    expect(await readdir(root.path)).not.toContain(basename(out));
    expect((await readdir(root.path)).filter((name) => name.startsWith('.'))).toEqual([]);
  };
  const edit = async (folder: string, name: string, change: (json: Record<string, unknown>) => void) => {
    const path = join(folder, name);
    const json = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    change(json);
    await writeFile(path, JSON.stringify(json));
  };

  it('is refused by name, and nothing is left behind', async () => {
    const empty = newFolder();
    await mkdir(empty);
    await refuses(empty, 'model_not_found', /no config\.json/);

    const roberta = await checkout();
    await edit(roberta, 'config.json', (config) => (config['model_type'] = 'roberta'));
    await refuses(roberta, 'model_damaged', /only qwen2, bert and nomic_bert are built/);

    const scaled = await checkout();
    await edit(scaled, 'config.json', (config) => (config['rope_scaling'] = { type: 'yarn', factor: 4 }));
    await refuses(scaled, 'model_damaged', /rope_scaling/);

    const newer = await checkout();
    await edit(newer, 'config.json', (config) => {
      config['rope_parameters'] = { rope_type: 'yarn', rope_theta: config['rope_theta'] };
      delete config['rope_theta'];
    });
    await refuses(newer, 'model_damaged', /rotary embedding without scaling/);

    const bothWays = await checkout();
    await edit(bothWays, 'config.json', (config) => (config['is_causal'] = false));
    await refuses(bothWays, 'model_damaged', /is_causal/);

    const huge = await checkout();
    await edit(huge, 'config.json', (config) => (config['max_position_embeddings'] = 2 ** 40));
    await refuses(huge, 'model_damaged', /max_position_embeddings/);

    const oddHeads = await checkout();
    await edit(oddHeads, 'config.json', (config) => (config['num_key_value_heads'] = 3));
    await refuses(oddHeads, 'model_damaged', /do not fit together/);

    const both = await checkout();
    await edit(both, '1_Pooling/config.json', (pooling) => (pooling['pooling_mode_mean_tokens'] = true));
    await refuses(both, 'model_damaged', /says mean_tokens and lasttoken/);

    const dense = await checkout();
    const modules = JSON.parse(await readFile(join(dense, 'modules.json'), 'utf8')) as object[];
    const more = [
      ...modules,
      { idx: 9, name: '9', path: '3_Dense', type: 'sentence_transformers.models.Dense' },
    ];
    await writeFile(join(dense, 'modules.json'), JSON.stringify(more));
    await refuses(dense, 'model_damaged', /module Dense/);

    const mean = await checkout();
    await edit(mean, '1_Pooling/config.json', (pooling) => {
      pooling['pooling_mode_lasttoken'] = false;
      pooling['pooling_mode_mean_tokens'] = true;
    });
    await refuses(mean, 'model_damaged', /last token alone/);

    const larger = await checkout();
    await edit(larger, 'config.json', (config) => (config['num_hidden_layers'] = layers + 1));
    await refuses(larger, 'model_damaged', /lacks the tensor layers\.3/);

    const wider = await checkout();
    await edit(wider, 'config.json', (config) => (config['intermediate_size'] = 640));
    await refuses(wider, 'model_damaged', /mlp\.gate_proj\.weight is F32 \[320, 128\]/);

    const noTokenizer = await checkout();
    await rm(join(noTokenizer, 'tokenizer.json'));
    await refuses(noTokenizer, 'model_damaged', /no tokenizer\.json/);

    const pickle = await checkout();
    await rm(join(pickle, 'model.safetensors'));
    await writeFile(join(pickle, 'pytorch_model.bin'), 'pickle');
    await refuses(pickle, 'model_not_found', /Only safetensors/);
  });

  it('cut off, or with shards from elsewhere, is refused', async () => {
    const cut = await checkout();
    await truncate(join(cut, 'model.safetensors'), 100_000);
    await refuses(cut, 'model_damaged', /its tensors need/);

    const outside = await checkout({ shards: 2 });
    const index = 'model.safetensors.index.json';
    await edit(outside, index, (json) => {
      (json['weight_map'] as Record<string, string>)['norm.weight'] = '../../etc/model.safetensors';
    });
    await refuses(outside, 'model_damaged', /weight_map/);

    const missing = await checkout({ shards: 2 });
    await rm(join(missing, 'model-00002-of-00002.safetensors'));
    await refuses(missing, 'model_not_found', /model-00002-of-00002/);
  });

  it('with a value that float16 cannot hold is refused where it would be one', async () => {
    const large = await checkout();
    const path = join(large, 'model.safetensors');
    const bytes = await readFile(path);
    // The token table is the first tensor.
    bytes.writeFloatLE(1e6, 8 + Number(bytes.readBigUInt64LE()));
    await writeFile(path, bytes);
    const words = /embed_tokens\.weight has a value that float16 cannot hold/;
    await refusesAt('fp16', large, { code: 'model_damaged', words });
    await expect(build(large, 'fp32')).resolves.toBeDefined();
  });

  it('leaves what is in the way, and an older build until the new one is complete', async () => {
    const folder = await checkout();
    const inTheWay = newFolder();
    await mkdir(inTheWay);
    await writeFile(join(inTheWay, 'thesis.txt'), 'mine');
    await expect(build(folder, 'int4', inTheWay)).rejects.toMatchObject({ code: 'usage' });
    expect(await readdir(inTheWay)).toEqual(['thesis.txt']);

    const out = newFolder();
    const before = await build(folder, 'int8', out);
    // One that was killed has left gigabytes; no process has this number.
    await mkdir(join(root.path, `.${basename(out)}.999999999.0badcafe.new`));
    const interrupted = new AbortController();
    const building = buildCheckout(await readCheckout(folder), {
      variant: 'int4',
      out,
      signal: interrupted.signal,
      onProgress: (done) => done === 2 && interrupted.abort(new Error('Ctrl-C')),
    });
    await expect(building).rejects.toThrow('Ctrl-C');
    await expect(findModel(out, { modelDir: root.path })).resolves.toEqual(before);
    expect((await readdir(root.path)).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});
