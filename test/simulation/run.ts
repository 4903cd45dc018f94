// `npm run simulate`: ours against three other policies in every scenario; writes docs/routing-simulation.md.
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';
import { measure, predictionErrors, quantile } from './measures.ts';
import { ourPolicy, type OurCluster } from './our-policy.ts';
import { errorRateBreaker, noFallback, queueThreshold } from './plain-policies.ts';
import { chart, comparison, losses, variants, workersChart, type Variant } from './report.ts';
import { scenario, SCENARIOS } from './scenarios.ts';
import type { Scenario } from './world.ts';

const DOCUMENT = fileURLToPath(new URL('../../docs/routing-simulation.md', import.meta.url));
const TEXT = new URL('./method.md', import.meta.url);
const CHARTS = new Set(['overload', 'slow, busy', 'dead, busy']);

const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '5' }, out: { type: 'string' } },
});
const seeds = Array.from({ length: Number(values.seeds) }, (_, at) => at + 1);

const compared = SCENARIOS.map((one) => ({
  scenario: one,
  results: [ourPolicy(), errorRateBreaker, queueThreshold, noFallback].map((policy) =>
    measure(one, policy, seeds),
  ),
}));

/** The overload once more, with one thing changed. */
function variant(name: string, change: Partial<Scenario>): Variant {
  const clusters: OurCluster[] = [];
  const policy = ourPolicy((cluster) => clusters.push(cluster));
  const measures = measure({ ...scenario('overload'), ...change }, policy, seeds);
  const errors = clusters.flatMap(({ promised }) => predictionErrors(promised));
  return { name, measures, medianError: quantile(errors, 0.5), p90Error: quantile(errors, 0.9) };
}

const changed = [
  variant('as above', {}),
  variant('batches packed in order of arrival', { packing: 'in order' }),
  variant('what gateways know is never old', { staleMs: 0 }),
  variant('what gateways know is up to 2 s old', { staleMs: 2_000 }),
  variant('one gateway', { gateways: 1 }),
  variant('16 gateways', { gateways: 16 }),
];

const sections: Record<string, string> = {
  seeds: `${seeds[0]} to ${seeds.at(-1)}`,
  scenarios: compared
    .map((one) => {
      const plots = CHARTS.has(one.scenario.name) ? [chart(one)] : [];
      if (one.scenario.autoscale) plots.push(workersChart(one));
      return [comparison(one), ...plots].join('\n\n');
    })
    .join('\n\n'),
  losses: compared.flatMap(losses).join('\n'),
  variants: variants(changed),
};
const template = await readFile(TEXT, 'utf8');
const filled = template.replaceAll(/\{\{(\w+)\}\}/g, (_, name: string) => sections[name] ?? '');
const out = values.out ?? DOCUMENT;
const text = await format(filled, { ...(await resolveConfig(DOCUMENT)), parser: 'markdown' });
await writeFile(out, text);
for (const one of compared) console.log(`${comparison(one)}\n`);
console.log(
  `${variants(changed)}\n\nWhere another policy was better:\n${sections['losses']}\n\nWritten to ${out}`,
);
