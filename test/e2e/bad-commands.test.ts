import { RunningEmbergate, runEmbergate, temporaryFolder } from '@embergate/testing/running-embergate.ts';
import { writeFiles } from '@embergate/testing/sample-project.ts';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

describe('a command that cannot be done', () => {
  let embergate: RunningEmbergate;
  beforeAll(async () => {
    embergate = await RunningEmbergate.start();
  });
  afterAll(() => embergate?.dispose());

  it('wrong commands: exit code 2, and what would be right', async () => {
    const unknown = await runEmbergate(['serach']);
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('search');
    const limit = await runEmbergate(['search', 'x', '--limit', 'many']);
    expect(limit.code).toBe(2);
    const setting = await runEmbergate(['status'], { env: { GATEWAY_PORT: '99999' } });
    expect(setting.code).toBe(2);
    expect(setting.stderr).toMatch(/GATEWAY_PORT.*"99999".*0 to 65535/);
    const gone = await runEmbergate(['status'], { env: { EMBERGATE_URL: 'http://127.0.0.1:9' } });
    expect(gone.code).toBe(1);
    expect(gone.stderr).toContain('gateway_unreachable');
  });

  it('a port in use, a data folder in use, a folder that cannot be written: said at once', async () => {
    const { port } = new URL(embergate.url);
    const other = await temporaryFolder('data');
    const portTaken = await runEmbergate(['up', '--no-index'], {
      env: { GATEWAY_PORT: port, DATA_DIR: other.path },
    });
    expect(portTaken.code).toBe(1);
    expect(portTaken.stderr).toMatch(/port_in_use.*GATEWAY_PORT/);
    const inUse = await runEmbergate(['up', '--no-index'], {
      env: { GATEWAY_PORT: '0', DATA_DIR: embergate.dataDir },
    });
    expect(inUse.code).toBe(1);
    expect(inUse.stderr).toContain('Another Embergate');
    // A file where the folder should be fails for root too, whom permissions don't stop.
    await writeFiles(other.path, { file: '' });
    const unwritable = await runEmbergate(['up', '--no-index'], {
      env: { GATEWAY_PORT: '0', DATA_DIR: join(other.path, 'file', 'data') },
    });
    expect(unwritable.code).toBe(1);
    expect(unwritable.stderr).toMatch(/storage_full.*DATA_DIR/);
    await other.remove();
  });

  it('listening beyond loopback without API keys: refused', async () => {
    const data = await temporaryFolder('data');
    const { code, stderr } = await runEmbergate(['up', '--no-index'], {
      env: { GATEWAY_HOST: '0.0.0.0', GATEWAY_PORT: '0', DATA_DIR: data.path },
    });
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/config_invalid.*API_KEYS_FILE/);
    await data.remove();
  });
});
