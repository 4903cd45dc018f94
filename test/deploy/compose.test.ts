import { cliSettings } from '../../apps/cli/src/context.ts';
import { LEAN_MEMORY } from '../../apps/cli/src/up/lean-memory.ts';
import {
  gatewaySettings,
  indexerSettings,
  logSettings,
  modelSettings,
  redisSettings,
  storeSettings,
  workerSettings,
} from '@embergate/contracts/settings.ts';
import { loadConfig } from '@embergate/platform/config.ts';
import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';

const ROOT = join(import.meta.dirname, '..', '..');
const CLI = join(ROOT, 'apps', 'cli', 'src', 'main.ts');
const run = promisify(execFile);

interface Service {
  image: string;
  command: string[];
  environment?: Record<string, string>;
  cpu_shares?: number;
  ports?: string[];
  volumes?: string[];
}

/** The file as Compose reads it where no variable is set: parsed first, then filled. */
function servicesWithDefaults(): Record<string, Service> {
  const text = readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8');
  const filled = JSON.stringify(parse(text, { merge: true })).replace(/\$\{\w+:-([^}]*)\}/g, '$1');
  return (JSON.parse(filled) as { services: Record<string, Service> }).services;
}

const services = servicesWithDefaults();
const ours = Object.entries(services).filter(([, { image }]) => image.startsWith('embergate:'));

const processSettings = z.object({
  ...logSettings,
  ...redisSettings,
  ...storeSettings,
  ...modelSettings,
  ...gatewaySettings,
  ...indexerSettings,
  ...workerSettings,
});

const compose = spawnSync('docker', ['compose', 'version'], { stdio: 'ignore' });
const hasCompose = compose.status === 0;

describe('an operator who runs docker-compose.yml', () => {
  it('starts gateway, worker and indexer from one image', () => {
    const images = ours
      .filter(([name]) => ['gateway', 'worker', 'indexer'].includes(name))
      .map(([, { image }]) => image);
    expect(images).toHaveLength(3);
    expect(new Set(images).size).toBe(1);
  });

  it.each(ours)('%s gets only settings that Embergate knows', (_name, { environment = {} }) => {
    const known = [...Object.keys(processSettings.shape), ...Object.keys(cliSettings.shape)];
    const ofTheRuntime = [...Object.keys(LEAN_MEMORY.env), 'NODE_OPTIONS'];
    for (const name of Object.keys(environment)) expect([...known, ...ofTheRuntime]).toContain(name);
  });

  it('has an indexer that stays as small as that of `embergate up`', () => {
    const { NODE_OPTIONS: options } = services['indexer']?.environment ?? {};
    expect(services['indexer']?.environment).toMatchObject(LEAN_MEMORY.env);
    expect(options?.split(' ')).toEqual(LEAN_MEMORY.nodeOptions);
  });

  it('has searches and the model go first where the processor is busy', () => {
    expect(services['indexer']?.cpu_shares).toBeLessThan(1_024);
    for (const name of ['gateway', 'worker']) expect(services[name]?.cpu_shares).toBeUndefined();
  });

  it.each(['gateway', 'worker', 'indexer'])('%s accepts the values that it gets', (name) => {
    const environment = services[name]?.environment ?? {};
    expect(() => loadConfig(processSettings, environment)).not.toThrow();
  });

  it.each(ours)('%s runs a command of the command line', async (_name, { command }) => {
    const { stdout } = await run(process.execPath, [CLI, ...command, '--help'], { cwd: ROOT });
    const words = command.filter((word) => /^[a-z]+$/.test(word));
    expect(stdout).toContain(['Usage: embergate', ...words].join(' '));
  });

  it('opens no port to the network', () => {
    const published = Object.values(services).flatMap(({ ports = [] }) => ports);
    expect(published).not.toHaveLength(0);
    for (const port of published) expect(port).toMatch(/^127\.0\.0\.1:/);
  });

  it('lets the gateway index only what is mounted read-only, at the same path for the indexer', () => {
    const root = services['gateway']?.environment?.['INDEX_ROOTS'];
    for (const name of ['gateway', 'indexer']) {
      expect(services[name]?.volumes).toContainEqual(expect.stringMatching(new RegExp(`:${root}:ro$`)));
    }
  });

  it.skipIf(!hasCompose)('has a file that docker compose takes, with every profile', async () => {
    for (const profile of ['', 'qdrant', 'tools']) {
      await run('docker', ['compose', '--profile', profile, 'config', '--quiet'], { cwd: ROOT });
    }
  });
});
