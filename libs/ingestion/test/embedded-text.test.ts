import { describe, expect, test } from 'vitest';
import { embeddedText, textAtPath } from '../src/embedded-text.ts';
import { chunkKey, embeddedHash } from '../src/hash.ts';

const whole = {
  path: 'lib/http/server.py',
  symbol: 'HttpServer.close',
  signature: 'def close(self, timeout=None)',
  text: '    def close(self,\n              timeout=None):\n        self.open = False',
};

describe('what the model reads', () => {
  test('a method says where it is from', () => {
    expect(embeddedText(whole)).toBe(`lib/http/server.py HttpServer.close\n${whole.text}`);
  });

  test('a later part of a method repeats its signature', () => {
    const text = '        self.open = False';
    expect(embeddedText({ ...whole, text })).toBe(
      `lib/http/server.py HttpServer.close\ndef close(self, timeout=None)\n${text}`,
    );
  });

  test('the same chunk elsewhere reads the same but for its path, however long that is', () => {
    const long = `${'very/deep/'.repeat(20)}server.py`;
    for (const chunk of [whole, { ...whole, symbol: '' }, { ...whole, text: '        self.open = False' }])
      for (const [from, to] of [
        [whole.path, 'web.py'],
        [whole.path, long],
        [long, whole.path],
        [long, `other/${long}`],
      ] as const)
        expect(textAtPath(embeddedText({ ...chunk, path: from }), { from, to })).toBe(
          embeddedText({ ...chunk, path: to }),
        );
  });

  test('loose statements have only their path, and a long path keeps its end', () => {
    const path = `${'very/deep/'.repeat(20)}server.py`;
    const [head] = embeddedText({ path, symbol: '', signature: '', text: 'import os' }).split('\n');
    expect(head).toMatch(/^(very|deep)\/.*\/server\.py$/);
    expect(head?.length).toBeLessThanOrEqual(80);
  });
});

describe('keys', () => {
  const chunk = {
    repo: 'a',
    path: 'b.py',
    language: 'python',
    symbol: 'f',
    startLine: 1,
    endLine: 2,
    text: 'x',
    embeddedHash: 'h',
  };

  test('the same chunk has the same key, and any difference shows', () => {
    const others = [
      { repo: 'b' },
      { path: 'c.py' },
      { language: 'c' },
      { symbol: 'g' },
      { startLine: 2 },
      { endLine: 3 },
      { text: 'y' },
      { embeddedHash: 'i' },
    ];
    const keys = [chunk, ...others.map((other) => ({ ...chunk, ...other }))].map(chunkKey);
    expect(new Set(keys).size).toBe(others.length + 1);
    expect(chunkKey({ ...chunk })).toBe(keys[0]);
    expect(keys[0]).toMatch(/^[0-9a-f]{32}$/);
  });

  test('the hash is sha256 of the text', () => {
    expect(embeddedHash('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });
});
