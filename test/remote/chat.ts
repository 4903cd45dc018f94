// `npm run test:remote:chat`: reranking by a chat server of somebody else's, with a model whose answers are numbers and no order.
import { createLogger } from '@embergate/platform/logs.ts';
import { RerankSkipped, type Ranking } from '@embergate/rerank/reranker.ts';
import { ListwiseReranker } from '@embergate/rerank-chat/listwise-reranker.ts';
import { eventually } from '@embergate/testing/eventually.ts';
import { stablePort } from '@embergate/testing/free-port.ts';
import { temporaryFolder } from '@embergate/testing/running-embergate.ts';
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const API_KEY = 'sk-of-the-chat-test';
const MODEL = 'random-numbers';
const PASSAGES = Array.from(
  { length: 20 },
  (_, at) => `def step_${at}(value):\n    return value[${at}] + ${at}\n`,
);
const say = (line: string): void => console.log(line);

/** Into a virtual environment, once: its llama.cpp is compiled, which takes some minutes. @returns its Python. */
async function install(): Promise<string> {
  const venv = process.env['LLAMA_VENV'] ?? join(homedir(), '.cache', 'embergate', 'llama-cpp-python-0.3.36');
  const python = join(venv, 'bin', 'python');
  const isThere = await access(join(venv, 'installed')).then(
    () => true,
    () => false,
  );
  if (isThere) return python;
  await run('python3', ['-m', 'venv', venv]);
  const requirements = join(import.meta.dirname, 'chat-requirements.txt');
  await run(join(venv, 'bin', 'pip'), ['install', '--quiet', '-r', requirements], { maxBuffer: 2 ** 26 });
  await run('touch', [join(venv, 'installed')]);
  return python;
}

const python = await install();
const folder = await temporaryFolder('chat');
const model = join(folder.path, 'model.gguf');
await run(python, [join(import.meta.dirname, 'chat_model.py'), model]);
const port = await stablePort();
const server = spawn(
  python,
  ['-m', 'llama_cpp.server', '--model', model, '--model_alias', MODEL, '--port', String(port)].concat([
    '--host',
    '127.0.0.1',
    '--n_ctx',
    '16384',
    '--n_threads',
    '1',
    '--api_key',
    API_KEY,
  ]),
  { stdio: 'ignore' },
);
const address = `http://127.0.0.1:${port}/v1`;
const open = (options: { apiKey?: string; address?: string } = {}) =>
  new ListwiseReranker({
    address,
    apiKey: API_KEY,
    model: MODEL,
    maxPassages: 100,
    log: createLogger('test', 'silent'),
    ...options,
  });
const soon = (ms = 60_000) => ({ until: performance.now() + ms });
const reasonOf = (work: Promise<Ranking>): Promise<string> =>
  work.then(
    (ranking) => assert.fail(`it ranked ${ranking.length}`),
    (error: unknown) => (error instanceof RerankSkipped ? error.reason : Promise.reject(error as Error)),
  );

try {
  await eventually(
    'the server is up',
    async () => {
      assert.equal(server.exitCode, null, 'the server ended');
      return (await fetch(`${address}/models`, { headers: { authorization: `Bearer ${API_KEY}` } })).ok;
    },
    120_000,
  );
  const reranker = open();
  const first = await reranker.rerank('add a number', PASSAGES, soon());
  assert.equal(first.length, 10, 'one window, as nothing is known of its time');
  const startedAt = performance.now();
  const ranking = await reranker.rerank('add a number', PASSAGES, soon());
  const order = ranking.map(({ at }) => at);
  say(
    `20 passages, three windows: ${(performance.now() - startedAt).toFixed(0)} ms, order ${order.join(' ')}`,
  );
  assert.deepEqual(
    order.toSorted((a, b) => a - b),
    PASSAGES.map((_, at) => at),
  );
  assert.notDeepEqual(
    order,
    order.toSorted((a, b) => a - b),
    'the model has moved nothing',
  );
  assert.equal(await reasonOf(open().rerank('q', PASSAGES, soon(5))), 'late');
  assert.equal(await reasonOf(open({ apiKey: 'sk-wrong' }).rerank('q', PASSAGES, soon())), 'away');
  assert.equal(
    await reasonOf(open({ address: `http://127.0.0.1:${port}/none` }).rerank('q', PASSAGES, soon())),
    'away',
  );
  server.kill('SIGKILL');
  await once(server, 'exit');
  assert.equal(await reasonOf(open().rerank('q', PASSAGES, soon())), 'away');
  say('passed');
} finally {
  server.kill('SIGKILL');
  await folder.remove();
}
