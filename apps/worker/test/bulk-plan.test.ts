import { describe, expect, it } from 'vitest';
import { planBulkProcesses } from '../src/bulk-plan.ts';

const GB = 2 ** 30;
const MINILM = { bytes: 91 * 2 ** 20, maxTokens: 256 };
const CODE_RANK_EMBED = { bytes: 547 * 2 ** 20, maxTokens: 8_192 };

describe('processes for bulk work', () => {
  it('are one of a thread a core', () => {
    const small = { cores: 2, memoryBytes: 8 * GB };
    expect(planBulkProcesses(undefined, MINILM, small)).toEqual({ processes: 2, threads: 1 });
    const large = { cores: 32, memoryBytes: 128 * GB };
    expect(planBulkProcesses(undefined, MINILM, large)).toEqual({ processes: 8, threads: 4 });
  });

  it('take a quarter of the memory at most, and are none where only one would fit', () => {
    expect(planBulkProcesses(undefined, CODE_RANK_EMBED, { cores: 8, memoryBytes: 16 * GB })).toEqual({
      processes: 2,
      threads: 4,
    });
    expect(planBulkProcesses(undefined, CODE_RANK_EMBED, { cores: 8, memoryBytes: 8 * GB }).processes).toBe(
      0,
    );
    expect(planBulkProcesses(undefined, MINILM, { cores: 2, memoryBytes: GB }).processes).toBe(0);
    expect(planBulkProcesses(undefined, MINILM, { cores: 1, memoryBytes: 8 * GB }).processes).toBe(0);
  });

  it('are as many as BULK_PROCESSES says', () => {
    const machine = { cores: 2, memoryBytes: GB };
    expect(planBulkProcesses(0, MINILM, machine).processes).toBe(0);
    expect(planBulkProcesses(3, MINILM, machine)).toEqual({ processes: 3, threads: 1 });
  });
});
