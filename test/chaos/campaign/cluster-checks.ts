import { clusterSchema, type Cluster } from '@embergate/contracts/http-cluster.ts';
import { eventually } from '@embergate/testing/eventually.ts';

const LOOK_TIMEOUT_MS = 3_000;
const DRAIN_TIMEOUT_MS = 10_000;

/** @returns what every gateway says is still waiting, under way or reserved after the load has ended; usually nothing. */
export async function leftInLanes(urls: readonly string[]): Promise<string[]> {
  let left: string[] = [];
  const look = async (): Promise<boolean> => {
    left = (await Promise.all(urls.map(clusterAt))).flatMap(leftIn);
    return left.length === 0;
  };
  try {
    await eventually('the lanes are empty', look, DRAIN_TIMEOUT_MS);
    return [];
  } catch (error) {
    return left.length > 0 ? left : [String(error)];
  }
}

function leftIn({ tiers, lanes }: Cluster, gateway: number): string[] {
  return [
    ...tiers
      .filter(({ backlogTokens }) => backlogTokens !== 0)
      .map(
        ({ name, backlogTokens }) => `gateway ${gateway + 1}: ${backlogTokens} tokens reserved in ${name}`,
      ),
    ...lanes
      .filter(({ waiting, active, tokens }) => waiting !== 0 || active !== 0 || tokens !== 0)
      .map(
        ({ tier, lane, waiting, active, tokens }) =>
          `gateway ${gateway + 1}: ${waiting} waiting, ${active} active, ${tokens} tokens reserved in ${tier}/${lane}`,
      ),
  ];
}

/** Both tiers are ready for every gateway, and no breaker is open. */
export async function isWell(urls: readonly string[], tiers: readonly string[]): Promise<boolean> {
  const views = await Promise.all(urls.map(clusterAt));
  return views.every((view) =>
    tiers.every((name) => {
      const tier = view.tiers.find((one) => one.name === name);
      // Saturated under bulk work is well: its queries are answered.
      return tier?.breaker === 'closed' && (tier.state === 'ready' || tier.state === 'saturated');
    }),
  );
}

async function clusterAt(url: string): Promise<Cluster> {
  const response = await fetch(`${url}/v1/cluster`, { signal: AbortSignal.timeout(LOOK_TIMEOUT_MS) });
  return clusterSchema.parse(await response.json());
}
