import { EmbergateClient } from '@embergate/client/client.ts';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const CLI = join(ROOT, 'apps', 'cli', 'bin', 'embergate.mjs');
const START_TIMEOUT_MS = 240_000;

export interface CommandResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface EmbergateOptions {
  /** Default: a temporary one, removed at the end. */
  dataDir?: string;
  /** Folder to index at the start; none: `--no-index`. */
  source?: string;
  env?: NodeJS.ProcessEnv;
  /** Where it is started; `npx embergate` is started in the user's folder. */
  cwd?: string;
  /** Goes on as soon as it has been spawned. */
  waitUntilReady?: boolean;
}

/** A folder under the system's temporary one, removed by the callback. */
export async function temporaryFolder(name: string): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), `embergate-${name}-`));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** Runs one `embergate` command to its end, in an environment of its own. */
export async function runEmbergate(
  args: readonly string[],
  { env = {}, cwd = ROOT }: Pick<EmbergateOptions, 'env' | 'cwd'> = {},
): Promise<CommandResult> {
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd,
    env: cleanEnvironment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const result = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (result.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (result.stderr += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...result };
}

/** A whole Embergate as `npm start` runs it: real processes, a real queue, the real model. */
export class RunningEmbergate {
  url = '';
  stdout = '';
  stderr = '';
  readonly dataDir: string;
  readonly child: ChildProcess;
  readonly #removeData: () => Promise<void>;
  readonly #onOutput = new Set<() => void>();

  private constructor(child: ChildProcess, data: { path: string; remove: () => Promise<void> }) {
    this.child = child;
    this.dataDir = data.path;
    this.#removeData = data.remove;
  }

  static async start(options: EmbergateOptions = {}): Promise<RunningEmbergate> {
    const { dataDir, source, env = {}, cwd = ROOT, waitUntilReady = true } = options;
    const data =
      dataDir === undefined
        ? await temporaryFolder('data')
        : { path: dataDir, remove: () => Promise.resolve() };
    const args = [CLI, 'up', ...(source === undefined ? ['--no-index'] : [])];
    const child = spawn(process.execPath, args, {
      cwd,
      env: cleanEnvironment({
        DATA_DIR: data.path,
        GATEWAY_PORT: '0',
        INDEX_ROOTS: tmpdir(),
        ...(source !== undefined && { EMBERGATE_SOURCE: source }),
        ...env,
      }),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const running = new RunningEmbergate(child, data);
    child.stdout.on('data', (chunk: Buffer) => running.#take('stdout', chunk));
    child.stderr.on('data', (chunk: Buffer) => running.#take('stderr', chunk));
    if (waitUntilReady) await running.#ready();
    return running;
  }

  get client(): EmbergateClient {
    return new EmbergateClient({ url: this.url });
  }

  get pid(): number {
    // Never -1 or the like: a signal to that goes to every process there is.
    if (this.child.pid === undefined) throw new Error('embergate was not started');
    return this.child.pid;
  }

  /** Everything it printed so far. */
  get output(): string {
    return this.stdout + this.stderr;
  }

  /** Resolves when the output holds a line like this. */
  async printed(pattern: RegExp, timeoutMs = START_TIMEOUT_MS): Promise<RegExpExecArray> {
    const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>();
    const fail = (why: string): void =>
      reject(new Error(`${why}, and did not print ${String(pattern)}:\n${this.output}`));
    const look = (): void => {
      const match = pattern.exec(this.output);
      if (match) resolve(match);
    };
    const onExit = (code: number | null): void => fail(`embergate ended with ${code}`);
    const late = setTimeout(() => fail(`embergate ran for ${timeoutMs} ms`), timeoutMs);
    this.#onOutput.add(look);
    this.child.once('exit', onExit);
    try {
      look();
      return await promise;
    } finally {
      clearTimeout(late);
      this.#onOutput.delete(look);
      this.child.off('exit', onExit);
    }
  }

  /** Sends a signal and waits for the end. @returns the exit code, or null after a signal's death. */
  async end(signal: NodeJS.Signals = 'SIGINT'): Promise<number | null> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const exited = once(this.child, 'exit') as Promise<[number | null]>;
    this.child.kill(signal);
    const [code] = await exited;
    return code;
  }

  /** Ends it and removes its temporary folder. */
  async dispose(): Promise<void> {
    await this.end();
    await this.#removeData();
  }

  #take(stream: 'stdout' | 'stderr', chunk: Buffer): void {
    this[stream] += chunk.toString();
    for (const look of this.#onOutput) look();
  }

  async #ready(): Promise<void> {
    const [, url = ''] = await this.printed(/Embergate ready: (\S+)/);
    this.url = url;
  }
}

/** What a test sets, and of the surroundings only what finds programs, homes and proxies. */
function cleanEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) =>
    /^(PATH|HOME|USER|LANG|TMPDIR|MODEL_DIR|XDG_.*|.*_proxy|.*_PROXY|PIP_.*|SSL_.*)$/.test(name),
  );
  return { ...Object.fromEntries(kept), NO_COLOR: '1', ...env };
}
