/** How late a gateway's event loop ran since it was last asked, in milliseconds; prom-client measures and forgets. */
export interface GatewayLag {
  p99Ms: number;
  maxMs: number;
}

/** The worst of several gateways; null where none tells. */
export async function gatewayLag(urls: readonly string[]): Promise<GatewayLag | null> {
  const lags = await Promise.all(urls.map((url) => lagOf(url).catch(() => null)));
  const known = lags.filter((lag) => lag !== null);
  if (known.length === 0) return null;
  return {
    p99Ms: Math.max(...known.map(({ p99Ms }) => p99Ms)),
    maxMs: Math.max(...known.map(({ maxMs }) => maxMs)),
  };
}

async function lagOf(url: string): Promise<GatewayLag | null> {
  const response = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(2_000) });
  const text = await response.text();
  const seconds = (name: string): number =>
    Number(new RegExp(`^\\w*nodejs_eventloop_lag_${name}_seconds (\\S+)`, 'm').exec(text)?.[1] ?? NaN);
  const [p99, max] = [seconds('p99'), seconds('max')];
  return Number.isFinite(max) ? { p99Ms: p99 * 1_000, maxMs: max * 1_000 } : null;
}
