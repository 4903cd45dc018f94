import type { EmbergateClient } from '@embergate/client/client.ts';
import { describe, expect, it } from 'vitest';
import { ask } from '../src/eval/ask.ts';
import { configurationOf } from '../src/eval/configuration.ts';

/** Stands for a gateway that says of each answer what it lacks; how a gateway comes to say so is tested where it is done. */
const answering = (code: string): Pick<EmbergateClient, 'search'> => ({
  search: async () => ({ results: [], warnings: [{ code, message: 'Not all is there.' }] }) as never,
});

const askIn = (code: string, fields: string) =>
  ask(answering(code), [{ query: 'retry with backoff', relevant: [] }], {
    configurations: [configurationOf(fields)],
    collection: 'default',
    limit: 10,
    signal: new AbortController().signal,
    onAnswer: () => undefined,
  });

describe('what is measured', () => {
  it.each([
    ['partly_embedded', 'mode=hybrid'],
    ['partly_embedded', 'mode=dense'],
    ['rerank_shortened', 'rerank=on'],
  ])('is no answer with %s of %s', async (code, fields) => {
    await expect(askIn(code, fields)).rejects.toMatchObject({
      code: 'invalid_request',
      message: expect.stringContaining('cannot be measured: Not all is there.') as string,
    });
  });

  it('is full text alone while vectors are missing', async () => {
    expect(await askIn('partly_embedded', 'mode=lexical')).toEqual([[[]]]);
  });
});
