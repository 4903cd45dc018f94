import { describe, expect, it } from 'vitest';
import { servedModelsSetting } from '../src/served-models.ts';

describe('OTHER_EMBEDDING_MODELS', () => {
  it.each([
    ['', []],
    ['CodeRankEmbed', [{ model: 'CodeRankEmbed', dimensions: undefined, tiers: ['cpu'] }]],
    [
      ' nomic-embed-text-v1.5#256=gpu+cpu , /models/own=remote ',
      [
        { model: 'nomic-embed-text-v1.5', dimensions: 256, tiers: ['gpu', 'cpu'] },
        { model: '/models/own', dimensions: undefined, tiers: ['remote'] },
      ],
    ],
  ])('%o names the models that are served beside the first', (text, models) => {
    expect(servedModelsSetting.parse(text)).toEqual(models);
  });

  it.each(['a=tpu', 'a=cpu+cpu', 'a#0', 'a#x', '#256', '=cpu', 'a=cpu=gpu'])(
    '%o is refused, and what is allowed is said',
    (text) => {
      expect(servedModelsSetting.safeParse(text).error?.issues[0]?.message).toContain('NAME[#DIMENSIONS]');
    },
  );
});
