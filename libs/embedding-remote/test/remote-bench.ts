import { createLogger, type Logger } from '@embergate/platform/logs.ts';
import { afterEach, beforeEach, expect } from 'vitest';
import { RemoteBackend, type RemoteBackendOptions } from '../src/remote-backend.ts';
import { DIMENSIONS, FakeApi, isProbe, vectorOf, type Act, type Asked } from './fake-api.ts';

export const KEY = 'sk-secret-0123456789';
export const closing: (() => Promise<void>)[] = [];
export let api: FakeApi;

/** A backend before the fake API; `said` are its log lines, `told` what it said of itself. */
export function open(options: Partial<RemoteBackendOptions> = {}) {
  const said: { level: string; why: unknown; all: string }[] = [];
  const told: boolean[] = [];
  const keep = (level: string) => (figures: Record<string, unknown>, msg: string) =>
    void said.push({ level, why: figures['why'], all: JSON.stringify([figures, msg]) });
  const log: Logger = Object.assign(createLogger('test', 'silent'), {
    info: keep('info'),
    warn: keep('warn'),
    error: keep('error'),
  });
  const backend = new RemoteBackend({
    address: api.url,
    apiKey: KEY,
    model: 'the-model',
    space: { dimensions: DIMENSIONS, normalize: true },
    log,
    onAvailable: (available) => told.push(available),
    ...options,
  });
  closing.push(() => backend.close());
  return { backend, said, told };
}

export async function openReady(options: Partial<RemoteBackendOptions> = {}) {
  const opened = open(options);
  await opened.backend.whenReady();
  return opened;
}

export const embed = (backend: RemoteBackend, texts: string[], hangMs = 5_000) =>
  backend.embed(
    texts.map(() => new Uint32Array(3)),
    { texts, hangMs },
  );
export const rows = (vectors: Float32Array): number[][] =>
  Array.from({ length: vectors.length / DIMENSIONS }, (_, at) => [
    ...vectors.subarray(at * DIMENSIONS, (at + 1) * DIMENSIONS),
  ]);
/** The fake's own vectors of these texts, in this order, but for the last bits of a float. */
export function expectVectorsOf(texts: readonly string[], vectors: Float32Array): void {
  const expected = texts.flatMap(vectorOf);
  expect(vectors).toHaveLength(expected.length);
  const furthest = Math.max(...expected.map((value, at) => Math.abs(value - (vectors[at] ?? NaN))));
  expect(furthest, texts.join()).toBeLessThan(1e-6);
}
/** Acts so on all but probes. */
export const onBatches = (act: Act) => (asked: Asked) => (isProbe(asked) ? undefined : act);

/** Starts the API anew for each test of a file. */
export function useFakeApi(): void {
  beforeEach(async () => {
    api = await FakeApi.start();
    closing.push(() => api.kill());
  });
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });
}
