// `npm run chaos`: the failure campaign of docs/benchmarks.md, on real processes of this machine.
// --rounds N (10)  --seed S  --only kind,...  --short (short faults)  --rate N (15 queries/s)  --json  --keep (logs)
import { parseArgs } from 'node:util';
import { clusterParts } from '../../load/cluster-parts.ts';
import { runCampaign } from './campaign.ts';
import { faultsNamed } from './faults.ts';
import { FULL_PACE, SHORT_PACE } from './pace.ts';
import { reportText } from './report-text.ts';
import { reportOf } from './report.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    only: { type: 'string' },
    rate: { type: 'string', default: '15' },
    short: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});
const positive = (name: 'rounds' | 'seed' | 'rate'): number => {
  const value = Number(values[name]);
  if (!(value > 0)) throw new Error(`--${name} must be a number above zero, not ${values[name]}`);
  return value;
};

const findings = await runCampaign({
  ...(await clusterParts()),
  faults: faultsNamed(values.only?.split(',')),
  rounds: positive('rounds'),
  seed: positive('seed'),
  pace: values.short ? SHORT_PACE : FULL_PACE,
  queriesPerSecond: positive('rate'),
  bulkFiles: 300,
  say: (line) => process.stderr.write(`${line}\n`),
  keepFolder: values.keep,
});
const report = reportOf(findings);
console.log(values.json ? JSON.stringify(report, null, 2) : reportText(report));
if (values.keep) process.stderr.write(`logs: ${findings.folder}/logs\n`);
if (report.broken.length > 0) process.exitCode = 1;
