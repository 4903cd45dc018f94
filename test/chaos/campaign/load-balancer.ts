import { Agent, request } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  /** Times that it was sent again to another gateway. */
  moved: number;
}

export interface Ask {
  method: 'GET' | 'POST';
  path: string;
  /** Made anew for each attempt, as the deadline inside it is nearer then. */
  body?: (() => unknown) | undefined;
  /** performance.now() at which nobody waits any more. */
  giveUpAt: number;
}

const HEALTH_INTERVAL_MS = 200;
const HEALTH_TIMEOUT_MS = 300;
/** Checks that fail in a row until a gateway counts as down. */
const UNTIL_DOWN = 2;
const BOTH_AWAY_MS = 50;

interface Upstream {
  url: string;
  agent: Agent;
  failedChecks: number;
  isUp: boolean;
  /** Aborted when it is marked down: those who wait for it are cut off, and go elsewhere. */
  sessions: AbortController;
}

/**
 * What stands in front of several gateways: round robin over those whose /livez answers. A refused or reset connection
 * is tried again on the next gateway, and a gateway that is marked down has its connections reset (HAProxy's
 * `retry-on conn-failure empty-response` and `on-marked-down shutdown-sessions`). Answers, also errors, are passed on.
 */
export class LoadBalancer {
  /** Times that a gateway was marked down. */
  markedDown = 0;
  readonly #upstreams: Upstream[];
  readonly #stopped = new AbortController();
  #checks: Promise<void>[] = [];
  #next = 0;

  constructor(urls: readonly string[]) {
    this.#upstreams = urls.map((url) => ({
      url,
      agent: new Agent({ keepAlive: true }),
      failedChecks: 0,
      isUp: true,
      sessions: new AbortController(),
    }));
  }

  start(): void {
    this.#checks = this.#upstreams.map((upstream) => this.#keepChecking(upstream));
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await Promise.all(this.#checks);
    for (const { agent } of this.#upstreams) agent.destroy();
  }

  /** @returns null when nobody answered until `giveUpAt`. */
  async ask(ask: Ask): Promise<Answer | null> {
    for (let moved = 0; performance.now() < ask.giveUpAt; moved++) {
      const upstream = this.#choose();
      try {
        return { ...(await send(upstream, ask)), moved };
      } catch {
        // Refused, reset, marked down, or given up on: the loop knows which.
        if (this.#upstreams.every(({ isUp }) => !isUp)) await wait(BOTH_AWAY_MS);
      }
    }
    return null;
  }

  #choose(): Upstream {
    const up = this.#upstreams.filter(({ isUp }) => isUp);
    const among = up.length > 0 ? up : this.#upstreams;
    this.#next += 1;
    return among[this.#next % among.length] as Upstream;
  }

  async #keepChecking(upstream: Upstream): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      const isWell = await answersHealthCheck(upstream.url);
      upstream.failedChecks = isWell ? 0 : upstream.failedChecks + 1;
      if (isWell) upstream.isUp = true;
      else if (upstream.failedChecks === UNTIL_DOWN) this.#markDown(upstream);
      await wait(HEALTH_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  #markDown(upstream: Upstream): void {
    this.markedDown += 1;
    upstream.isUp = false;
    upstream.sessions.abort();
    upstream.sessions = new AbortController();
    upstream.agent.destroy();
    upstream.agent = new Agent({ keepAlive: true });
  }
}

/** One attempt. @throws when the connection fails or is cut before the answer is complete. */
function send({ url, agent, sessions }: Upstream, ask: Ask): Promise<Omit<Answer, 'moved'>> {
  const remainingMs = Math.max(1, Math.ceil(ask.giveUpAt - performance.now()));
  const signal = AbortSignal.any([sessions.signal, AbortSignal.timeout(remainingMs)]);
  return new Promise((resolve, reject) => {
    const call = request(
      url + ask.path,
      { method: ask.method, agent, signal, headers: { 'content-type': 'application/json' } },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
        );
      },
    );
    call.on('error', reject);
    call.end(ask.body ? JSON.stringify(ask.body()) : undefined);
  });
}

function answersHealthCheck(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(HEALTH_TIMEOUT_MS);
    const call = request(`${url}/livez`, { agent: false, signal }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode === 200));
      response.on('error', () => resolve(false));
    });
    call.on('error', () => resolve(false));
    call.end();
  });
}
