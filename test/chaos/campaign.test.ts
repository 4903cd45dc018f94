import { createLogger } from '@embergate/platform/logs.ts';
import { startRedisServer } from '@embergate/queue/redis-server.ts';
import { expect, inject, it } from 'vitest';
import { runCampaign } from './campaign/campaign.ts';
import { FAULTS } from './campaign/faults.ts';
import { SHORT_PACE } from './campaign/pace.ts';
import { reportText } from './campaign/report-text.ts';
import { reportOf } from './campaign/report.ts';

const SEED = 4;
const log = createLogger('test', 'silent');

it('under load, every kind of failure once: the answer keeps coming, and nothing is lost, wrong or left behind', async () => {
  const findings = await runCampaign({
    startRedis: (where) => startRedisServer({ ...where, binary: inject('redisServer'), log }),
    modelDir: inject('modelDir'),
    faults: FAULTS,
    rounds: 1,
    seed: SEED,
    pace: SHORT_PACE,
    queriesPerSecond: 10,
    bulkFiles: 150,
    say: () => undefined,
    keepFolder: false,
  });
  const report = reportOf(findings);
  expect(report.broken, reportText(report)).toEqual([]);
  // What makes the bounds worth something: there was load, and all of it was looked at.
  expect(report.kinds.map(({ rounds }) => rounds).reduce((a, b) => a + b)).toBe(FAULTS.length);
  expect(report.total.queries).toBeGreaterThan(200);
  expect(report.vectorsChecked).toBeGreaterThan(100);
  expect(report.stored.expected).toBeGreaterThanOrEqual(150);
  expect(report.indexJobs['completed']).toBeGreaterThan(2);
}, 240_000);
