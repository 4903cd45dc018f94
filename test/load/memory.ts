// `npm run bench:memory`: resident memory of the processes over 10,000 texts of mixed length.
import { memoryOf } from '@embergate/testing/process-usage.ts';
import { descendantsOf } from '@embergate/testing/processes.ts';
import { RunningEmbergate } from '@embergate/testing/running-embergate.ts';

const TEXTS = 10_000;
const AT_ONCE = 500;
const WORDS =
  'open file read socket parse header value return retry queue worker vector index chunk batch token'.split(
    ' ',
  );

const embergate = await RunningEmbergate.start({ env: { LOG_LEVEL: 'warn' } });
const PROCESSES = /(worker|indexer|gateway)\/src\/main|inference-child\.ts( bulk)?|(valkey|redis)-server \S/;

async function show(done: number): Promise<void> {
  const processes = (await descendantsOf(embergate.pid)).flatMap(({ pid, command }) => {
    const [name] = PROCESSES.exec(command) ?? [];
    return name === undefined ? [] : [{ pid, name }];
  });
  const cells = await Promise.all(
    processes.map(async ({ pid, name }) => {
      const { nowMb, peakMb } = await memoryOf(pid);
      return `${name} ${nowMb} (peak ${peakMb})`;
    }),
  );
  console.log(`${String(done).padStart(6)} texts: ${cells.join(', ')} MB`);
}

const { data } = await embergate.client.models();
const model = data[0]?.id ?? '';
await show(0);
for (let done = 0; done < TEXTS; done += AT_ONCE) {
  const input = Array.from({ length: AT_ONCE }, (_, n) => {
    const length = 1 + ((n * 7919 + done) % 200);
    return Array.from({ length }, (__, word) => WORDS[(n + word * word) % WORDS.length]).join(' ');
  });
  await embergate.client.embeddings({ model, input });
  if ((done / AT_ONCE) % 4 === 3) await show(done + AT_ONCE);
}
await embergate.dispose();
