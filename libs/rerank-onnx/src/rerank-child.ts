/**
 * The process that runs the cross-encoder. onnxruntime blocks its thread while it computes, and the gateway's must turn. It ends when the
 * gateway does.
 */
import { toAppError } from '@embergate/contracts/errors.ts';
import { CrossEncoderModel } from './cross-encoder-model.ts';
import type { FromChild, LoadCrossEncoder, ScorePairs, ToChild } from './protocol.ts';

let model: CrossEncoderModel | undefined;

/** A gateway that is gone hears nothing; the child ends with the disconnect. */
const say = (message: FromChild): void => void process.send?.(message, () => undefined);

// A group of its own does not shield from signals sent to it by name; the gateway decides when it ends.
process.on('SIGINT', () => undefined);
process.on('disconnect', () => process.exit(0));
process.on('message', (message: ToChild) => {
  if (message.type === 'load') void load(message);
  else void score(message);
});

async function load(options: LoadCrossEncoder): Promise<void> {
  try {
    model = await CrossEncoderModel.open(options);
    say({ type: 'loaded', samples: await model.warmUp() });
  } catch (error) {
    const { code, message } = toAppError(error);
    // Without a model there is nothing to live for; the gateway decides about another try.
    process.send?.({ type: 'load_failed', code, message } satisfies FromChild, () => process.exit(1));
  }
}

async function score({ id, query, passages }: ScorePairs): Promise<void> {
  try {
    if (!model) throw new Error('no model is loaded');
    say({ type: 'scored', id, logits: await model.score(query, passages) });
  } catch (error) {
    say({ type: 'score_failed', id, message: error instanceof Error ? error.message : String(error) });
  }
}
