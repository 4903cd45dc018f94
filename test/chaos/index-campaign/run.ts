// `npm run chaos:index`: kill -9 of each process at random points of index runs, on real processes of this machine.
// On LanceDB, or, where QDRANT_BINARY is the path of a Qdrant server, on that; it is killed too then.
// --points N of each process (50)  --only indexer,...  --seed S  --minutes N at most (60)  --files N (1,200)  --json
import { parseArgs } from 'node:util';
import { clusterParts } from '../../load/cluster-parts.ts';
import { runIndexCampaign } from './index-campaign.ts';
import { brokenIndexBounds, indexReportText } from './index-report.ts';
import { KILLS, STORE_KILL } from './kills.ts';

const { values } = parseArgs({
  options: {
    points: { type: 'string', default: '50' },
    only: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    minutes: { type: 'string', default: '60' },
    files: { type: 'string', default: '1200' },
    json: { type: 'boolean', default: false },
  },
});
const qdrantBinary = process.env['QDRANT_BINARY'] || null;
const kills = qdrantBinary === null ? KILLS : [...KILLS, STORE_KILL];
const only = values.only?.split(',');
const unknown = only?.filter((name) => kills.every(({ kind }) => kind !== name)) ?? [];
if (unknown.length > 0) throw new Error(`no process is called ${unknown.join(', ')}`);
const positive = (name: 'points' | 'seed' | 'minutes' | 'files'): number => {
  const value = Number(values[name]);
  if (!(value > 0)) throw new Error(`--${name} must be a number above zero, not ${values[name]}`);
  return value;
};

const findings = await runIndexCampaign({
  ...(await clusterParts()),
  qdrantBinary,
  points: positive('points'),
  kinds: kills.filter(({ kind }) => only?.includes(kind) ?? true),
  seed: positive('seed'),
  mostMinutes: positive('minutes'),
  files: positive('files'),
  say: (line) => process.stderr.write(`${line}\n`),
});
console.log(values.json ? JSON.stringify(findings, null, 2) : indexReportText(findings));
if (brokenIndexBounds(findings).length > 0) process.exitCode = 1;
