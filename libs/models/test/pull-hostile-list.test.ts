import { type TreeEntry } from '@embergate/testing/model-hub.ts';
import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { ENTRY, files, catalog, hub, pull, revisionFolder, useHub } from './hub-bench.ts';

useHub();

describe('a hostile list of files', () => {
  const file = (entry: Partial<TreeEntry>): TreeEntry => ({
    type: 'file',
    path: 'x',
    size: 9,
    oid: 'a'.repeat(40),
    ...entry,
  });

  it('names places outside: they are not asked for, and nothing is written there', async () => {
    const server = await hub({
      tree: (entries) => [
        ...entries,
        ...[
          '../evil.json',
          '/etc/config.json',
          '..\\config.json',
          '1_Pooling/../../config.json',
          '1_a/b/config.json',
          '../model-00001-of-00002.safetensors',
          'model-00001-of-00002.safetensors/../../x',
        ].map((path) => file({ path })),
        file({ path: '.keep' }),
        file({ path: 'SHA256SUMS' }),
      ],
    });
    await pull({ hubUrl: server.url });
    expect(server.fetched().sort()).toEqual(files);
    expect(await readdir(revisionFolder())).toEqual(['int8']);
  });

  const huge = { oid: 'b'.repeat(64), size: 9e15, pointerSize: 1 };
  it.each<[string, (entries: TreeEntry[]) => unknown, RegExp]>([
    ['is not JSON', () => '<html>', /is not JSON/],
    ['is not a list', () => ({ error: 'x' }), /is not one of a hub/],
    [
      'has sizes that are no sizes',
      (all) => [...all, file({ path: 'modules.json', size: -1 })],
      /is not one of a hub/,
    ],
    ['is longer than any list', () => `[${' '.repeat(9e6)}]`, /longer than/],
    ['names a file twice', (all) => [...all, ...all], /twice/],
    // Counted before anything else is looked at: millions would keep the process from even a Ctrl-C.
    [
      'names more files than any model has',
      () => Array(2_001).fill(file({ path: 'config.json' })),
      /2000 files/,
    ],
    [
      'has weights larger than any',
      (all) => [...all, file({ path: 'model-00003-of-00003.safetensors', lfs: huge })],
      /which no model has/,
    ],
    [
      'has a description of gigabytes',
      (all) => all.map((entry) => (entry.path === 'config.json' ? { ...entry, size: 3e9 } : entry)),
      /too much/,
    ],
    [
      'has pickle for weights',
      (all) => all.filter(({ path }) => !path.endsWith('.safetensors')),
      /no safetensors/,
    ],
    [
      'lacks the tokenizer',
      (all) => all.filter(({ path }) => path !== 'tokenizer.json'),
      /no tokenizer.json/,
    ],
  ])('%s', async (_what, tree, words) => {
    const server = await hub({ tree });
    await expect(pull({ hubUrl: server.url })).rejects.toThrow(words);
    expect(server.fetched()).toEqual([]);
  });

  it('goes on for ever, or elsewhere', async () => {
    const elsewhere = await hub();
    for (const [link, words] of [
      ['?recursive=true', /more than 20 pages/],
      [`${elsewhere.url}/api/`, /goes on at/],
    ] as const) {
      const server = await hub({
        interfere: (_, response) => void response.setHeader('link', `<${link}>; rel="next"`),
      });
      await expect(pull({ hubUrl: server.url })).rejects.toThrow(words);
      expect(server.requests.length).toBeLessThan(30);
    }
    expect(elsewhere.requests).toEqual([]);
  });

  it('wants more than the disk has: nothing is fetched, and what is needed for what is said', async () => {
    const lfs = { oid: 'b'.repeat(64), size: 190e9, pointerSize: 1 };
    await catalog({ ...ENTRY, parameters: 1e15 });
    const server = await hub({
      tree: (all) => [...all, file({ path: 'model-00003-of-00003.safetensors', lfs })],
    });
    await expect(pull({ hubUrl: server.url })).rejects.toMatchObject({
      code: 'storage_full',
      message: expect.stringMatching(/free, .* are needed: 190\.0 GB for its files, .* for int8/),
    });
    expect(server.fetched()).toEqual([]);
  });
});
