import { AppError } from '@embergate/contracts/errors.ts';
import {
  fusionWeightsSchema,
  SEARCH_MODES,
  type FusionWeights,
  type SearchAsk,
} from '@embergate/contracts/http-search.ts';

/** What a search is asked with, beside the query. */
export interface Configuration {
  name: string;
  request: Pick<SearchAsk, 'mode' | 'weights' | 'rerank' | 'arrange' | 'limit'>;
}

export const HYBRID: Configuration = { name: 'hybrid', request: { mode: 'hybrid' } };
/** What is compared where nothing else is asked for. */
export const MODES: readonly Configuration[] = [
  { name: 'dense', request: { mode: 'dense' } },
  { name: 'lexical', request: { mode: 'lexical' } },
];

const ARRANGE = ['fold', 'diversify', 'merge'] as const;
const FORMS = `mode=${SEARCH_MODES.join('|')}, weights=DENSE:LEXICAL, rerank, fold, diversify, merge, arrange (=on|off)`;

/**
 * Reads the fields of a request as a person writes them: `mode=dense`, `weights=5:3,diversify=off`, `arrange=off` for all three of its
 * steps.
 * @throws AppError `usage`
 */
export function configurationOf(text: string): Configuration {
  const request: Configuration['request'] = {};
  for (const field of text.split(',')) {
    const [key = '', value = ''] = field.trim().split('=', 2);
    const wrong = (): AppError =>
      new AppError(
        'usage',
        `"${field.trim()}" is no field of a search. Write some of ${FORMS}, with commas between.`,
      );
    if (key === 'mode') request.mode = oneOf(SEARCH_MODES, value) ?? fail(wrong());
    else if (key === 'weights') request.weights = weightsOf(value) ?? fail(wrong());
    else {
      const on = switchOf(value) ?? fail(wrong());
      const step = oneOf(ARRANGE, key);
      if (key === 'rerank') request.rerank = on;
      else if (key === 'arrange') request.arrange = { fold: on, diversify: on, merge: on };
      else if (step) request.arrange = { ...request.arrange, [step]: on };
      else throw wrong();
    }
  }
  return { name: text.replace(/\bmode=/, ''), request };
}

function weightsOf(value: string): FusionWeights | undefined {
  const [, dense, lexical] = /^(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)$/.exec(value) ?? [];
  return fusionWeightsSchema.safeParse({ dense: Number(dense), lexical: Number(lexical) }).data;
}

const oneOf = <T extends string>(allowed: readonly T[], value: string): T | undefined =>
  allowed.find((one) => one === value);

const switchOf = (value: string): boolean | undefined =>
  value === 'on' ? true : value === 'off' ? false : undefined;

function fail(error: AppError): never {
  throw error;
}
