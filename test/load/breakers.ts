// `npm run bench:breakers`: two gateways, one of which sees a tier fail. How long until the other's breaker says so, too?
import type { EmbergateClient } from '@embergate/client/client.ts';
import { DEFAULT_MODEL } from '@embergate/contracts/settings.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { RunningCluster } from '@embergate/testing/running-cluster.ts';
import { clusterParts } from './cluster-parts.ts';
import { quantile } from './raw.ts';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 10);
const OPEN = 2;

/** The gateway's own view, which it has without asking anybody. */
async function breakerOf(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/embergate_breaker_state\{tier="gpu"\} (\d)/.exec(text)?.[1]);
}

async function opensAt(url: string): Promise<number> {
  for (;;) {
    if ((await breakerOf(url)) === OPEN) return performance.now();
    await new Promise(setImmediate);
  }
}

const cluster = await RunningCluster.start({ ...(await clusterParts()), tiers: ['gpu', 'cpu'], gateways: 2 });
const gaps: number[] = [];
try {
  for (let round = 0; round < ROUNDS; round++) {
    const { urls, clients, frozen } = cluster;
    await eventually(
      'both tiers are ready and closed',
      async () => {
        const states = await Promise.all(clients.map((client) => client.cluster()));
        return states.every(({ tiers }) =>
          tiers.every(({ state, breaker }) => state === 'ready' && breaker === 'closed'),
        );
      },
      60_000,
    );
    // The worker beats on, and does not answer: only the gateway that is asked can notice.
    const child = await cluster.inferenceChild('gpu');
    const opened = Promise.all(urls.map(opensAt));
    frozen.freeze(child);
    const asked = clients[round % 2] as EmbergateClient;
    const texts = Array.from({ length: 8 }, (_, n) => `query ${n} of round ${round}`);
    await Promise.all(
      texts.map((input) =>
        asked.embeddings({ model: DEFAULT_MODEL, input, input_type: 'query' }).catch(() => undefined),
      ),
    );
    const [first = 0, second = 0] = await opened;
    gaps.push(Math.abs(first - second));
    frozen.thaw(child);
  }
} finally {
  await cluster.stop();
}
console.log(`the breaker opened in both gateways ${gaps.length} times; apart in ms:`);
console.log(`median ${quantile(gaps, 0.5).toFixed(1)}, largest ${Math.max(...gaps).toFixed(1)}`);
