import { createLogger } from '@embergate/platform/logs.ts';
import { startRedisServer } from '@embergate/queue/redis-server.ts';
import { expect, inject, it } from 'vitest';
import { runIndexCampaign } from './index-campaign/index-campaign.ts';
import { brokenIndexBounds, indexReportText } from './index-campaign/index-report.ts';
import { KILLS } from './index-campaign/kills.ts';

const log = createLogger('test', 'silent');
const KINDS = ['indexer', 'worker', 'gateway', 'queue'];

it('index runs in which every process is killed with -9: the rows of an undisturbed run, nothing stored is embedded again, no half state is seen', async () => {
  const findings = await runIndexCampaign({
    startRedis: (where) => startRedisServer({ ...where, binary: inject('redisServer'), log }),
    modelDir: inject('modelDir'),
    qdrantBinary: null,
    points: 1,
    kinds: KILLS.filter(({ kind }) => KINDS.includes(kind)),
    seed: 7,
    mostMinutes: 5,
    files: 330,
    say: () => undefined,
  });
  expect(brokenIndexBounds(findings), indexReportText(findings)).toEqual([]);
  // What makes the bounds worth something.
  const struck = findings.runs.flatMap((run) => run.struck.map(({ kind }) => kind));
  expect(struck.sort()).toEqual([...KINDS].sort());
  expect(findings.runs.every(({ rows }) => rows.rows > 300)).toBe(true);
  expect(findings.searches.answered).toBeGreaterThan(20);
}, 240_000);
