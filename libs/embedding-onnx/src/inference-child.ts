/**
 * The process that holds the model. onnxruntime blocks its thread while it computes, so nothing else lives here:
 * queue locks and heartbeats turn in the supervisor. It ends when its supervisor does.
 */
import { toAppError } from '@embergate/contracts/errors.ts';
import { runInBackground } from '@embergate/platform/background-priority.ts';
import { writeFile } from 'node:fs/promises';
import { openModel } from './open-model.ts';
import type { FromChild, LoadModel, RunBatch, ToChild } from './protocol.ts';
import { Turns, type Model, type Turn } from './turns.ts';

/** Lower than queries, and above the indexer, whose chunks are worth nothing without vectors. */
const BULK_NICENESS = 5;
/** Of 1000. */
const OOM_SCORE = '500';

let model: Model | undefined;
const turns = new Turns();
let isTurning = false;

const say = (message: FromChild): void => void process.send?.(message);
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

// A group of its own does not shield from signals sent to it by name; the supervisor decides when it ends.
process.on('SIGINT', () => undefined);
process.on('disconnect', () => process.exit(0));
process.on('message', (message: ToChild) => {
  if (message.type === 'load') void load(message);
  else run(message);
});

/** Behind queries, and the first to go where memory is short: others do its work. */
async function goLast(): Promise<void> {
  await runInBackground(BULK_NICENESS);
  await writeFile('/proc/self/oom_score_adj', OOM_SCORE).catch(() => undefined);
}

async function load(options: LoadModel): Promise<void> {
  try {
    if (options.isBackground) await goLast();
    const opened = await openModel(options);
    model = opened.model;
    say({ type: 'loaded', proof: opened.proof });
  } catch (error) {
    const { code, message } = toAppError(error);
    // Without a model there is nothing to live for; the supervisor decides about another try.
    process.send?.({ type: 'load_failed', code, message } satisfies FromChild, () => process.exit(1));
  }
}

function run({ id, lane, ids, lengths }: RunBatch): void {
  if (!model) return say({ type: 'run_failed', id, message: 'no model is loaded' });
  let from = 0;
  const texts = Array.from(lengths, (length) => ids.subarray(from, (from += length)));
  const parts = model.embed(texts, lane);
  turns.add({ id, lane, next: () => parts.next(), ms: 0 });
  if (!isTurning) void turn();
}

/** Computes part after part, as long as there are any. */
async function turn(): Promise<void> {
  isTurning = true;
  for (let next = turns.next(); next; next = turns.next()) {
    const message = await onePart(next);
    if (message.type !== 'part_done') turns.remove(next);
    say(message);
    // What has arrived meanwhile takes its turn.
    await new Promise(setImmediate);
  }
  isTurning = false;
}

async function onePart(turn: Turn): Promise<FromChild> {
  const { id } = turn;
  const startedAt = performance.now();
  try {
    const { done, value } = await turn.next();
    const ms = performance.now() - startedAt;
    turn.ms += ms;
    turns.spend(turn, ms);
    if (!done) return { type: 'part_done' };
    // A text of not-a-number would be a wrong vector in the index for ever.
    if (!value.every(Number.isFinite)) throw new Error('the model returned a number that is not finite');
    return { type: 'vectors', id, vectors: value, ms: turn.ms };
  } catch (error) {
    return { type: 'run_failed', id, message: messageOf(error) };
  }
}
