import { problemSchema } from '@embergate/contracts/http-cluster.ts';
import { embeddingsResponseSchema } from '@embergate/contracts/http-embeddings.ts';
import { searchResponseSchema } from '@embergate/contracts/http-search.ts';
import type { Answer, LoadBalancer } from './load-balancer.ts';
import { calmPhase, type Phase, type QueryRecord } from './query-record.ts';
import { nextArrivalMs, type Random } from './random.ts';
import { QueryTexts } from './query-texts.ts';

export interface QueryLoadOptions {
  balancer: LoadBalancer;
  random: Random;
  perSecond: number;
  deadlineMs: number;
  model: string;
  collection: string;
}

/** After its deadline a query is waited for this long, to tell late from never. */
const PATIENCE_MS = 3_000;

/**
 * An open loop: queries are due at times that do not depend on the answers, so that a system which stalls does not slow
 * its own load down. Half of them search, half want the vector.
 */
export class QueryLoad {
  readonly records: QueryRecord[] = [];
  readonly #options: QueryLoadOptions;
  readonly #texts: QueryTexts;
  readonly #open = new Map<QueryRecord, Promise<void>>();
  #phase: Phase = calmPhase();
  #dueAt = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: QueryLoadOptions) {
    this.#options = options;
    this.#texts = new QueryTexts(options.random);
  }

  start(): void {
    this.#dueAt = performance.now();
    this.#schedule();
  }

  /** Queries from now on, and those that are under way, belong to this phase. */
  enter(phase: Phase): void {
    this.#phase = phase;
    for (const record of this.#open.keys()) record.phase = phase;
  }

  /**
   * Waits for the answers to what has been sent until now; more is sent meanwhile. A query that an earlier fault has
   * hit may still fail by it up to its deadline, and must not be counted as the next one's.
   */
  async settled(): Promise<void> {
    await Promise.all(this.#open.values());
  }

  /** Sends no more, and waits for the answers to what was sent. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await Promise.all(this.#open.values());
  }

  #schedule(): void {
    const { perSecond, random } = this.#options;
    this.#dueAt += nextArrivalMs(perSecond, random);
    this.#timer = setTimeout(
      () => {
        this.#sendOne(this.#dueAt);
        this.#schedule();
      },
      Math.max(0, this.#dueAt - performance.now()),
    );
  }

  #sendOne(dueAt: number): void {
    const record: QueryRecord = {
      route: this.#options.random() < 0.5 ? 'search' : 'embeddings',
      ...this.#texts.next(),
      deadlineMs: this.#options.deadlineMs,
      phase: this.#phase,
      dueAt,
      sentAt: performance.now(),
      doneAt: NaN,
      outcome: 'none',
      status: null,
      code: null,
      tier: null,
      degradedReason: null,
      warnings: [],
      moved: 0,
      vector: null,
    };
    this.records.push(record);
    const done = this.#ask(record).finally(() => this.#open.delete(record));
    this.#open.set(record, done);
  }

  async #ask(record: QueryRecord): Promise<void> {
    const { balancer } = this.#options;
    const body = (): unknown => this.#body(record);
    const giveUpAt = record.sentAt + record.deadlineMs + PATIENCE_MS;
    const answer = await balancer.ask({ method: 'POST', path: `/v1/${record.route}`, body, giveUpAt });
    record.doneAt = performance.now();
    if (answer) Object.assign(record, readAnswer(record.route, answer));
  }

  /** A query that is sent again has as much time as is left of its own. */
  #body({ route, text, sentAt, deadlineMs: whole }: QueryRecord): unknown {
    const deadlineMs = Math.max(1, Math.round(sentAt + whole - performance.now()));
    const { model, collection } = this.#options;
    return route === 'search'
      ? { query: text, collection, limit: 5, deadlineMs }
      : { input: text, model, input_type: 'query', encoding_format: 'base64', deadlineMs };
  }
}

function readAnswer(route: QueryRecord['route'], answer: Answer): Partial<QueryRecord> {
  const { status, moved, text } = answer;
  const header = (name: string): string | null => {
    const value = answer.headers[name];
    return typeof value === 'string' ? value : null;
  };
  const json = parseJson(text);
  const problem = problemSchema.loose().safeParse(json);
  if (problem.success) return { outcome: 'refused', status, moved, code: problem.data.code };
  const about = {
    status,
    moved,
    tier: header('x-embedding-tier'),
    degradedReason: header('x-embedding-degraded'),
  };
  if (route === 'search') {
    const search = searchResponseSchema.safeParse(json);
    if (search.success)
      return { ...about, outcome: 'answered', warnings: search.data.warnings.map(({ code }) => code) };
  } else {
    const embeddings = embeddingsResponseSchema.safeParse(json);
    const encoded = embeddings.data?.data[0]?.embedding;
    if (typeof encoded === 'string') return { ...about, outcome: 'answered', vector: decodeVector(encoded) };
  }
  return { outcome: 'untyped', status, moved, code: text.slice(0, 100) };
}

function decodeVector(base64: string): Float32Array {
  const bytes = new Uint8Array(Buffer.from(base64, 'base64'));
  return new Float32Array(bytes.buffer, 0, bytes.byteLength >> 2);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
