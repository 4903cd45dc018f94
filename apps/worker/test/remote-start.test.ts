import { runEmbergate } from '@embergate/testing/running-embergate.ts';
import { expect, it } from 'vitest';

const KEY = 'sk-of the test';
const remote = { WORKER_TIER: 'remote', REDIS_URL: 'redis://127.0.0.1:1' };

it.each<[string, NodeJS.ProcessEnv, RegExp]>([
  ['without an address', {}, /REMOTE_EMBEDDING_URL is not set: WORKER_TIER=remote needs it/],
  ['with another protocol', { REMOTE_EMBEDDING_URL: 'ftp://host' }, /REMOTE_EMBEDDING_URL is "ftp:.*http:/],
  [
    'with a password in the address',
    { REMOTE_EMBEDDING_URL: `http://me:${KEY}@host/v1` },
    /must not hold a user or password; REMOTE_EMBEDDING_API_KEY/,
  ],
  [
    'with a key that no header holds',
    { REMOTE_EMBEDDING_URL: 'http://host', REMOTE_EMBEDDING_API_KEY: KEY },
    /REMOTE_EMBEDDING_API_KEY is set \(not shown\): must be of printable/,
  ],
])('a remote worker %s does not start, names the variable and shows no secret', async (_what, env, says) => {
  const { code, stderr } = await runEmbergate(['worker'], { env: { ...remote, ...env } });
  expect(stderr).toMatch(says);
  expect(stderr).not.toContain(KEY);
  expect(code).toBe(2);
});
