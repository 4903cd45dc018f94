// `npm run bench:flood`: what a query waits for while the bulk lane is flooded, beside an idle service in the same run.
import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import { RunningEmbergate } from '@embergate/testing/running-embergate.ts';
import { quantile } from './raw.ts';

const QUERIES = Number(process.env['BENCH_QUERIES'] ?? 1_000);
const FLOOD_CALLS = 4;
const TEXTS_A_CALL = 128;
const CHUNK =
  'const value = await client.get(key); if (value === undefined) throw new NotFound(key);\n'.repeat(10);

const embergate = await RunningEmbergate.start({ env: { LOG_LEVEL: 'warn' } });
const { client } = embergate;
let asked = 0;

async function queries(name: string): Promise<number[]> {
  const times: number[] = [];
  while (times.length < QUERIES) {
    const startedAt = performance.now();
    await client.embeddings({
      model: DEFAULT_MODEL,
      input: `where is request ${asked++} parsed`,
      input_type: 'query',
    });
    times.push(performance.now() - startedAt);
  }
  const [p50, p99] = [quantile(times, 0.5), quantile(times, 0.99)];
  console.log(
    `${name.padEnd(28)} p50 ${p50.toFixed(1)} ms  p99 ${p99.toFixed(1)} ms  max ${Math.max(...times).toFixed(1)} ms`,
  );
  return times;
}

try {
  await queries('warm-up');
  const before = await queries('idle');
  let flooding = true;
  let texts = 0;
  const flood = async (): Promise<void> => {
    while (flooding) {
      const input = Array.from({ length: TEXTS_A_CALL }, (_, n) => `${CHUNK}// ${asked++} ${n}`);
      await client.embeddings({ model: DEFAULT_MODEL, input });
      texts += TEXTS_A_CALL;
    }
  };
  const floods = Array.from({ length: FLOOD_CALLS }, flood);
  const startedAt = performance.now();
  const flooded = await queries('bulk lane flooded');
  flooding = false;
  await Promise.all(floods);
  const rate = texts / ((performance.now() - startedAt) / 1_000);
  await queries('idle again');
  const more = quantile(flooded, 0.99) - quantile(before, 0.99);
  console.log(
    `p99 flooded - p99 idle = ${more.toFixed(1)} ms; the flood got ${rate.toFixed(1)} texts/s beside them`,
  );
} finally {
  await embergate.dispose();
}
