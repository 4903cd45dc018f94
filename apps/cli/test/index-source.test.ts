import { runEmbergate } from '@embergate/testing/running-embergate.ts';
import { describe, expect, it } from 'vitest';

const index = (source: string, url: string) => runEmbergate(['index', source, '--url', url], { env: {} });
/** A name that never leads anywhere: RFC 2606. */
const ELSEWHERE = 'http://gateway.invalid:8080';

describe('`embergate index` of a folder that is not on this machine', () => {
  it('asks a gateway that is elsewhere, which may have it', async () => {
    const { code, stderr } = await index('/srv/only-there', ELSEWHERE);
    expect(code).toBe(1);
    expect(stderr).toContain('gateway_unreachable: No gateway answers at http://gateway.invalid:8080');
  });

  it.each([
    ['/srv/only-there', 'http://127.0.0.1:9'],
    ['/srv/only-there', 'http://localhost:9'],
    ['only-there', ELSEWHERE],
  ])('names %s at once, where the gateway is %s', async (source, url) => {
    const { code, stderr } = await index(source, url);
    expect(code).toBe(1);
    expect(stderr).toMatch(/source_not_found: There is no folder \/.*only-there on this machine/);
  });
});
