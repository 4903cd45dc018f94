import { runEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const MODEL = 'all-MiniLM-L6-v2';
const SHIPPED = join(import.meta.dirname, `../../../libs/models/goldens/${MODEL}.json`);

interface Golden {
  text: string;
  ids: number[];
  vector: number[];
}

describe('embergate model verify', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let shipped: Golden[];

  beforeAll(async () => {
    folder = await temporaryFolder('verify');
    shipped = JSON.parse(await readFile(SHIPPED, 'utf8'));
  });
  afterAll(() => folder.remove());

  const verify = (...more: string[]) => runEmbergate(['model', 'verify', MODEL, ...more]);
  async function verifyWith(goldens: unknown): Promise<Awaited<ReturnType<typeof verify>>> {
    const path = join(folder.path, 'goldens.json');
    await writeFile(path, JSON.stringify(goldens));
    return verify('--goldens', path, '--json');
  }

  it('says that the default model makes the vectors of its own code, out of the same tokens', async () => {
    const { stdout, code } = await verify('--json');
    const found = JSON.parse(stdout);
    expect(code).toBe(0);
    expect(found).toMatchObject({ ok: true, device: 'cpu', goldens: { texts: shipped.length, otherIds: 0 } });
    expect(found.goldens.cosine.least).toBeGreaterThan(0.99999);
    expect(found.batch.cosine.least).toBeGreaterThan(0.99999);
  });

  it('prints what it found for people', async () => {
    const { stdout } = await verify();
    expect(stdout).toMatch(/its own code +cosine 1\.0+ at least.*12 texts, token ids equal/);
    expect(stdout).toMatch(/agrees$/m);
  });

  it('fails where the vectors are others, and where the tokens are', async () => {
    const mixed = shipped.map((golden, at) => ({ ...golden, vector: shipped.at(at - 1)?.vector }));
    const vectors = await verifyWith(mixed);
    expect(vectors.code).toBe(1);
    expect(JSON.parse(vectors.stdout)).toMatchObject({ ok: false, goldens: { otherIds: 0 } });
    const closed = shipped.map((golden) => ({ ...golden, ids: [...golden.ids, 102] }));
    const tokens = await verifyWith(closed);
    expect(tokens.code).toBe(1);
    expect(JSON.parse(tokens.stdout)).toMatchObject({ ok: false, goldens: { otherIds: shipped.length } });
  });

  it.each<[string, unknown, string]>([
    ['goldens of another dimension', [{ text: 'x', vector: [1, 0, 0] }], 'space_mismatch'],
    ['no list', { text: 'x' }, 'invalid_request'],
    ['an empty list', [], 'invalid_request'],
  ])('refuses %s', async (_, goldens, code) => {
    const refused = await verifyWith(goldens);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(code);
  });

  it('names what is missing', async () => {
    expect((await verify('--goldens', join(folder.path, 'none.json'))).stderr).toContain('source_not_found');
    expect((await verify('--against', folder.path)).stderr).toContain('model_not_found');
    expect((await verify('--against', 'int8')).stderr).toMatch(/config_invalid.*no variant "int8"/);
    expect((await verify('--min-cosine', 'high')).code).toBe(2);
  });
});
