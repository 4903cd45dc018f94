import { cliSettings } from '../../apps/cli/src/context.ts';
import { logSettings, workerSettings } from '@embergate/contracts/settings.ts';
import { createGatewayMetrics, createTierGauges } from '../../apps/gateway/src/metrics.ts';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'operations.md'), 'utf8');

/** First cells of the table rows below a heading. */
function rowsOf(heading: string): string[] {
  const [, after = ''] = page.split(`\n## ${heading}\n`);
  const section = after.split('\n## ')[0] ?? '';
  return [...section.matchAll(/^\| `([^`{]+)/gm)].map(([, name]) => name ?? '');
}

describe('an operator who reads docs/operations.md', () => {
  it('finds every setting there is, and none that is not', () => {
    // PATH belongs to the system.
    const known = new Set(
      [cliSettings.shape, logSettings, workerSettings].flatMap((settings) => Object.keys(settings)),
    );
    known.delete('PATH');
    expect(rowsOf('Settings').sort()).toEqual([...known].sort());
  });

  it('finds every metric of the gateway', () => {
    const named = rowsOf('Logs and metrics');
    const { registry } = createGatewayMetrics();
    createTierGauges(registry);
    const known = registry.getMetricsAsArray();
    const own = known.map(({ name }) => name).filter((name) => !name.startsWith('embergate_process_'));
    expect(named.filter((name) => name !== 'embergate_process_*').sort()).toEqual(own.sort());
  });
});
