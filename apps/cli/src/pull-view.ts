import { readableBytes } from '@embergate/models/disk-space.ts';
import type { PullOptions, PullPlan, PullProgress } from '@embergate/models/pull-options.ts';
import cliProgress from 'cli-progress';

/** How often a log gets a line while a large file comes. */
const LINE_INTERVAL_MS = 15_000;

type Told = Pick<PullOptions, 'onWait' | 'onPlan' | 'onProgress' | 'onBuild' | 'onSourceFailed'>;

/** Says what a pull does: a bar on a terminal; elsewhere a line for each file, and now and then. Both on stderr. */
export function pullView(
  name: string,
  stream: NodeJS.WriteStream = process.stderr,
): Required<Told> & { end: () => void } {
  const say = (line: string): void => void stream.write(`${line}\n`);
  const bars = stream.isTTY ? new Bars(stream) : null;
  const lines = new Lines(name, say);
  const failures: string[] = [];
  /** Where nothing else helped, they stand in the error. */
  const sayFailures = (): void => {
    if (failures.length > 0) bars?.end();
    for (const failure of failures.splice(0)) say(failure);
  };
  return {
    onWait: (holder) => say(`${name} is being pulled by ${holder} already; waiting for it ...`),
    onPlan: (plan) => {
      sayFailures();
      say(planOf(name, plan));
    },
    onProgress: (progress) => {
      sayFailures();
      (bars ?? lines).fetch(progress);
    },
    onBuild: (progress) => {
      sayFailures();
      (bars ?? lines).build(progress);
    },
    onSourceFailed: ({ source, place, file, reason }) =>
      void failures.push(`${file}: not from ${source} (${place}): ${reason}`),
    end: () => bars?.end(),
  };
}

/** Before hours of work: how much comes over the network, and what the disk must hold. */
function planOf(name: string, { fetchBytes, builds, folder }: PullPlan): string {
  const fetched =
    fetchBytes > 0 ? `fetching ${readableBytes(fetchBytes)} into ${folder}` : `reading ${folder}`;
  const built = Object.entries(builds).map(
    ([variant, bytes]) => `${variant} of at most ${readableBytes(bytes)}`,
  );
  return `${name}: ${fetched}${built.length > 0 ? `; then building ${built.join(', ')}` : ''}`;
}

interface BuildProgress {
  variant: string;
  done: number;
  total: number;
}

class Bars {
  readonly #stream: NodeJS.WriteStream;
  #bar: cliProgress.SingleBar | null = null;
  #what = '';

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  fetch({ file, source, overall }: PullProgress): void {
    const format = '{file} [{bar}] {percentage}% of {size} from {source} | {eta_formatted} left';
    const payload = { file, source, size: readableBytes(overall.totalBytes) };
    this.#show('fetch', format, { value: overall.bytes, total: overall.totalBytes, payload });
  }

  build({ variant, done, total }: BuildProgress): void {
    const format = 'building {variant} [{bar}] {value}/{total} parts | {eta_formatted} left';
    this.#show(variant, format, { value: done, total, payload: { variant } });
  }

  end(): void {
    this.#bar?.stop();
    this.#bar = null;
  }

  #show(what: string, format: string, { value, total, payload }: BarState): void {
    if (!this.#bar || this.#what !== what) {
      this.end();
      this.#what = what;
      const options = { stream: this.#stream, format, hideCursor: true };
      this.#bar = new cliProgress.SingleBar(options, cliProgress.Presets.shades_classic);
      this.#bar.start(total, value, payload);
    }
    this.#bar.update(value, payload);
  }
}

interface BarState {
  value: number;
  total: number;
  payload: object;
}

class Lines {
  readonly #name: string;
  readonly #say: (line: string) => void;
  readonly #start = { at: 0, bytes: 0 };
  #file = '';
  #variant = '';
  #saidAt = 0;

  constructor(name: string, say: (line: string) => void) {
    this.#name = name;
    this.#say = say;
  }

  fetch({ file, source, totalBytes, overall }: PullProgress): void {
    const now = performance.now();
    if (this.#start.at === 0) Object.assign(this.#start, { at: now, bytes: overall.bytes });
    if (this.#file !== file) {
      this.#file = file;
      this.#say(`Fetching ${file} (${readableBytes(totalBytes)}) of ${this.#name} from ${source} ...`);
    } else if (now - this.#saidAt > LINE_INTERVAL_MS) {
      const seconds = (now - this.#start.at) / 1_000;
      const rate = (overall.bytes - this.#start.bytes) / seconds;
      const left = rate > 0 ? `, ${Math.ceil((overall.totalBytes - overall.bytes) / rate)} s left` : '';
      const done = `${readableBytes(overall.bytes)} of ${readableBytes(overall.totalBytes)}`;
      this.#say(`${done}, ${(rate / 1e6).toFixed(1)} MB/s${left}`);
    } else return;
    this.#saidAt = now;
  }

  build({ variant, total }: BuildProgress): void {
    if (this.#variant === variant) return;
    this.#variant = variant;
    this.#say(`Building ${variant} of ${this.#name}, ${total} parts ...`);
  }
}
