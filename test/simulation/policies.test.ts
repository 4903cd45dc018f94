import { describe, expect, it } from 'vitest';
import { measure } from './measures.ts';
import { ourPolicy } from './our-policy.ts';
import { errorRateBreaker, noFallback, queueThreshold } from './plain-policies.ts';
import { scenario, SCENARIOS } from './scenarios.ts';

const SEEDS = [11, 12];
const OTHERS = [errorRateBreaker, queueThreshold, noFallback];

describe('ours beside the other policies', () => {
  it.each(SCENARIOS.map(({ name }) => name))('answers as many with a vector, to a point: %s', (name) => {
    const ours = measure(scenario(name), ourPolicy(), SEEDS);
    for (const other of OTHERS) {
      const { vectorShare, nothingShare } = measure(scenario(name), other, SEEDS);
      expect(ours.vectorShare, other.name).toBeGreaterThan(vectorShare - 0.01);
      expect(ours.nothingShare, other.name).toBeLessThan(nothingShare + 0.01);
    }
  });

  it('tells at once, where the GPU is slow or gone, what the others are silent about', () => {
    for (const name of ['slow, busy', 'dead, busy']) {
      expect(measure(scenario(name), ourPolicy(), SEEDS).nothingShare).toBeLessThan(0.03);
      for (const other of OTHERS) {
        expect(measure(scenario(name), other, SEEDS).nothingShare, other.name).toBeGreaterThan(0.3);
      }
    }
  });

  it('keeps the slowest queries within one bulk batch and one query batch of what they are without bulk work', () => {
    const idle = measure(scenario('well, no bulk'), ourPolicy(), SEEDS).p99;
    expect(measure(scenario('well'), ourPolicy(), SEEDS).p99).toBeLessThan(idle + 250 + 250);
  });

  it('computes hardly anything for nobody', () => {
    for (const name of ['slow, light', 'dead, busy', 'flapping']) {
      expect(measure(scenario(name), ourPolicy(), SEEDS).wastedShare, name).toBeLessThan(0.03);
    }
  });
});
