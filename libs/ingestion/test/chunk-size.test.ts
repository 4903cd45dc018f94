import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createChunker } from '../src/chunk.ts';
import { chunkCharsFor } from '../src/chunk-size.ts';
import { FolderSource } from '../src/folder-source.ts';
import { createRunBench, pythonFile, type RunBench } from './run-bench.ts';

const MODEL_TOKENS = 256;
const SMALL = 300;
const LONG_FUNCTION = [
  'def total(orders):',
  ...Array.from({ length: 30 }, (_, at) => `    sum_of_${at} = ""`),
].join('\n');

describe('an operator who chooses another size of chunks', () => {
  let bench: RunBench;
  beforeEach(async () => {
    bench = await createRunBench({ 'src/orders.py': LONG_FUNCTION, 'src/price.py': pythonFile('price') });
  });
  afterEach(() => bench.remove());

  /** An incremental run of an indexer whose CHUNK_MAX_CHARS is so. @returns the code that it embedded, without what is put before it. */
  async function index(runId: string, chosen?: number): Promise<string[]> {
    bench.embedded = [];
    const chunker = await createChunker({ maxChars: chunkCharsFor(MODEL_TOKENS, chosen) });
    await bench.run(runId, { openSource: () => FolderSource.open(bench.tree.root, chunker) });
    chunker.close();
    return bench.embedded;
  }

  it('has long code in other pieces after the next run, and nothing of the old ones is found', async () => {
    expect(await index('default')).toHaveLength(2);
    const pieces = await index('smaller', SMALL);
    expect(pieces.length).toBeGreaterThan(1);
    for (const piece of pieces) expect(piece).toContain('src/orders.py');
    // What fits either size keeps its row and its vector.
    expect(await bench.visibleCount()).toBe(pieces.length + 1);
    // Back again: the old rows are no longer visible, and their vectors are still there to be copied.
    expect(await index('default again')).toEqual([]);
    expect(await bench.visibleCount()).toBe(2);
  });

  it('gets what suits the model where nothing is chosen', () => {
    expect(chunkCharsFor(MODEL_TOKENS)).toBe(1_024);
    expect(chunkCharsFor(32_768)).toBe(1_500);
    expect(chunkCharsFor(MODEL_TOKENS, 1_600)).toBe(1_600);
  });
});
