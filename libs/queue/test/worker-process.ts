import { connectRedis } from '../src/connection.ts';
import { EmbedReceiver } from '../src/embed-receiver.ts';
import { RedisClock } from '../src/redis-clock.ts';
import { echo, log, numberOf, SPACE } from './fake-model.ts';

/**
 * A worker's end of one lane as a process, which can be frozen and killed: `node worker-process.ts redis://... LANE MODE`.
 * It says `ready`, then the number of each text that it takes. In the mode `hang` it takes two, and answers none.
 */
const [url = '', lane, mode] = process.argv.slice(2);
const redis = await connectRedis({ url, patience: 'patient', log });
const clock = new RedisClock(redis);
await clock.start();
new EmbedReceiver({
  redis,
  clock,
  space: SPACE,
  tier: 'cpu',
  lane: lane === 'bulk' ? 'bulk' : 'query',
  concurrency: mode === 'hang' ? 2 : 8,
  handler: (job, from) => {
    process.send?.(numberOf(job));
    return mode === 'hang' ? new Promise<never>(() => undefined) : echo(job, from);
  },
  log,
});
process.once('disconnect', () => process.exit());
process.send?.('ready');
