import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CATALOG, catalogModel } from '../src/catalog.ts';
import { defaultVariantOf, isDirect, nameOf, revisionOf, variantsOf } from '../src/catalog-schema.ts';
import { findModel } from '../src/installed-model.ts';
import { readCatalog } from '../src/own-catalog.ts';

describe('the catalog', () => {
  it('pins every model to a commit, and offers what it takes by default', () => {
    expect(CATALOG.map(nameOf)).toEqual([
      'all-MiniLM-L6-v2',
      'nomic-embed-code',
      'CodeRankEmbed',
      'nomic-embed-text-v1.5',
      'ms-marco-MiniLM-L6-v2',
      'CodeRankLLM',
    ]);
    for (const model of CATALOG) {
      expect(revisionOf(model)).toMatch(/^[0-9a-f]{40}$/);
      if (model.kind !== 'embedding') continue;
      for (const device of ['cpu', 'gpu'] as const)
        expect(variantsOf(model)).toContain(defaultVariantOf(model, device));
    }
  });

  it('holds what an index of each model depends on', () => {
    const spaces = CATALOG.flatMap((model) => (model.kind === 'embedding' ? [model.space] : []));
    expect(
      spaces.map(({ model, dimensions, pooling, prompts }) => [model, dimensions, pooling, prompts]),
    ).toEqual([
      ['all-MiniLM-L6-v2', 384, 'mean', { query: '', document: '' }],
      [
        'nomic-embed-code',
        3584,
        'last',
        { query: 'Represent this query for searching relevant code: ', document: '' },
      ],
      [
        'CodeRankEmbed',
        768,
        'cls',
        { query: 'Represent this query for searching relevant code: ', document: '' },
      ],
      ['nomic-embed-text-v1.5', 768, 'mean', { query: 'search_query: ', document: 'search_document: ' }],
    ]);
    const matryoshka = catalogModel('nomic-embed-text-v1.5');
    expect('matryoshka' in matryoshka && matryoshka.matryoshka).toEqual([512, 256, 128, 64]);
    expect(isDirect(catalogModel('all-MiniLM-L6-v2'))).toBe(true);
  });
});

describe('a file with models of one’s own', () => {
  let home: Awaited<ReturnType<typeof temporaryFolder>>;
  let file: string;
  let example: { models: [Record<string, unknown>, ...unknown[]] };

  beforeAll(async () => {
    home = await temporaryFolder('own-catalog');
    file = join(home.path, 'models.json');
    const page = await readFile(join(import.meta.dirname, '../../../docs/operations.md'), 'utf8');
    const [, json = ''] = /MODEL_CATALOG.*?```json\n(.*?)```/s.exec(page) ?? [];
    example = JSON.parse(json);
  });
  afterAll(() => home.remove());

  const read = async (content: unknown) => {
    await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
    return readCatalog(file);
  };
  const changed = (change: object) => ({ models: [{ ...example.models[0], ...change }] });

  it('the example in docs/operations.md is one, and its models come after the others', async () => {
    const catalog = await read(example);
    expect(catalog.slice(0, CATALOG.length)).toEqual(CATALOG);
    const own = catalog.slice(CATALOG.length);
    expect(own.map(nameOf)).toEqual(['acme-code', 'acme-code-small']);
    // A relative folder lies beside the file.
    expect(own[1]?.sources).toMatchObject({ folder: join(home.path, 'acme-code-small') });
    await expect(findModel('acme-code', { modelDir: home.path, catalogFile: file })).rejects.toMatchObject({
      code: 'model_not_installed',
    });
  });

  it.each<[string, () => unknown, RegExp]>([
    ['is not JSON', () => '{"models": [', /is not JSON/],
    ['is a list', () => [], /must be {"models": \[...\]}/],
    ['has a field that there is not', () => changed({ dimension: 7 }), /entry 1 \(acme-code\): .*dimension/],
    ['lacks a field', () => changed({ license: undefined }), /entry 1 \(acme-code\): license: /],
    [
      'has a wrong field far inside',
      () => changed({ space: { ...(example.models[0]['space'] as object), pooling: 'max' } }),
      /entry 1 \(acme-code\): space\.pooling: /,
    ],
    [
      'names a branch',
      () => changed({ space: { ...(example.models[0]['space'] as object), revision: 'main' } }),
      /space\.revision: must be the 40 hexadecimal digits of a commit/,
    ],
    [
      'names a variant that there is not',
      () => changed({ variants: ['int2'] }),
      /variants\.0: must be one of: int4/,
    ],
    [
      'has a default that it does not offer',
      () => changed({ defaultVariant: { cpu: 'fp32', gpu: 'int8' } }),
      /defaultVariant\.cpu: must be one of its variants/,
    ],
    [
      'pins pickle',
      () => changed({ sums: { 'pytorch_model.bin': 'a'.repeat(64) } }),
      /sums\.pytorch_model\.bin: /,
    ],
    ['has no source', () => changed({ sources: {} }), /sources: must name at least one source/],
    [
      'has a mirror that is no URL',
      () => changed({ sources: { mirror: 'ftp://x' } }),
      /sources\.mirror: must be a URL/,
    ],
    ['has a kind that there is not', () => changed({ kind: 'chat' }), /kind: /],
    [
      'has the same name twice',
      () => ({ models: [example.models[0], example.models[0]] }),
      /entry 2 \(acme-code\): the name is taken/,
    ],
    [
      'has the name of a built-in model',
      () => changed({ space: { ...(example.models[0]['space'] as object), model: 'CodeRankEmbed' } }),
      /entry 1 \(CodeRankEmbed\): the name is taken/,
    ],
    [
      'has a name that leads outside',
      () => changed({ space: { ...(example.models[0]['space'] as object), model: '../up' } }),
      /space\.model: must begin with a letter/,
    ],
  ])('that %s is refused, naming file, entry and field', async (_what, content, words) => {
    await expect(read(content())).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringMatching(words),
    });
    await expect(readCatalog(file)).rejects.toThrow(`MODEL_CATALOG ${file}: `);
  });

  it('that is not there is refused', async () => {
    await expect(readCatalog(join(home.path, 'none.json'))).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining('ENOENT'),
    });
  });
});
