/**
 * The process that holds the model. onnxruntime blocks its thread while it computes, so nothing else lives here:
 * queue locks and heartbeats turn in the supervisor. It ends when its supervisor does.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { FromChild, LoadModel, RunBatch, ToChild } from './protocol.ts';

/**
 * Threads that spin for long burn the cores which gateway and queue need (3 times the time on a shared machine); threads
 * that never spin are woken a hundred times a run, which is half of a short text's time. So they spin for as long as the
 * next operator is away, and stop with the run. Measured in docs/benchmarks.md, "Spinning".
 */
const THREADING = {
  intra_op: { allow_spinning: '1', spin_duration_us: '20' },
  force_spinning_stop: '1',
};

let session: InferenceSession | undefined;
let padTokenId = 0;

const say = (message: FromChild): void => void process.send?.(message);
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

// A group of its own does not shield from signals sent to it by name; the supervisor decides when it ends.
process.on('SIGINT', () => undefined);
process.on('disconnect', () => process.exit(0));
process.on('message', (message: ToChild) => {
  if (message.type === 'load') void load(message);
  else void run(message);
});

async function load(request: LoadModel): Promise<void> {
  try {
    padTokenId = request.padTokenId;
    session = await InferenceSession.create(request.onnxPath, {
      executionProviders: ['cpu'],
      intraOpNumThreads: request.threads,
      interOpNumThreads: 1,
      graphOptimizationLevel: 'all',
      extra: { session: THREADING },
    });
    say({ type: 'loaded', device: 'cpu' });
  } catch (error) {
    // Without a model there is nothing to live for; the supervisor decides about another try.
    process.send?.({ type: 'load_failed', message: messageOf(error) } satisfies FromChild, () =>
      process.exit(1),
    );
  }
}

async function run({ id, ids, lengths }: RunBatch): Promise<void> {
  try {
    if (!session) throw new Error('no model is loaded');
    const outputs = await session.run(padRight(ids, lengths));
    const vectors = outputs['embedding']?.data;
    if (!(vectors instanceof Float32Array)) throw new Error('the model has no float32 output "embedding"');
    // A text of not-a-number would be a wrong vector in the index for ever.
    if (!vectors.every(Number.isFinite)) throw new Error('the model returned a number that is not finite');
    say({ type: 'vectors', id, vectors });
  } catch (error) {
    say({ type: 'run_failed', id, message: messageOf(error) });
  }
}

/** [texts, longest] int64 ids and mask. Ids are below 2^31: writing the low words is all it takes. */
function padRight(ids: Uint32Array, lengths: Uint32Array): Record<string, Tensor> {
  const texts = lengths.length;
  const longest = lengths.reduce((max, length) => Math.max(max, length), 0);
  const inputIds = new BigInt64Array(texts * longest).fill(BigInt(padTokenId));
  const mask = new BigInt64Array(texts * longest);
  const idWords = new Uint32Array(inputIds.buffer);
  const maskWords = new Uint32Array(mask.buffer);
  let from = 0;
  lengths.forEach((length, text) => {
    for (let position = 0; position < length; position++) {
      const word = 2 * (text * longest + position);
      idWords[word] = ids[from + position] ?? 0;
      maskWords[word] = 1;
    }
    from += length;
  });
  return {
    input_ids: new Tensor('int64', inputIds, [texts, longest]),
    attention_mask: new Tensor('int64', mask, [texts, longest]),
  };
}
