import type { EmbeddingSpace } from '@embergate/contracts/space.ts';
import { ApiError, type Verdict } from './api-error.ts';
import { endpointOf, type Endpoint } from './endpoint.ts';
import { networkFailure } from './network-failure.ts';
import { readBounded } from '@embergate/platform/read-bounded.ts';
import { retryAfterMs } from '@embergate/platform/retry-after.ts';
import { openAiVectors, teiVectors, WrongVectors } from './vectors.ts';

export interface EmbeddingApiOptions {
  /** {@link endpointOf} says what it means. */
  address: string;
  /** Sent as Bearer token, to this address only. */
  apiKey?: string | undefined;
  /** The API's own name of the model. */
  model: string;
  space: Pick<EmbeddingSpace, 'dimensions' | 'normalize'>;
}

/** A number as JSON with its comma, and spaces of a generous printer. */
const BYTES_A_NUMBER = 48;
const BYTES_AROUND = 64 * 1_024;
/** What an error says of itself in words of its own is short. */
const ERROR_BYTES = 16 * 1_024;
const MISCONFIGURED: ReadonlySet<number> = new Set([401, 402, 403, 404, 405]);
const AWAY: ReadonlySet<number> = new Set([408, 429, 502, 503, 504]);

/** One embedding model behind HTTP: asks, and believes no answer that it has not checked. */
export class EmbeddingApi {
  readonly #options: EmbeddingApiOptions;
  readonly #endpoint: Endpoint;
  readonly #headers: Headers;

  constructor(options: EmbeddingApiOptions) {
    this.#options = options;
    this.#endpoint = endpointOf(options.address);
    this.#headers = new Headers({ 'content-type': 'application/json', accept: 'application/json' });
    if (options.apiKey !== undefined) this.#headers.set('authorization', `Bearer ${options.apiKey}`);
  }

  /** Its address, for logs. */
  get shown(): string {
    return this.#endpoint.shown;
  }

  /**
   * @param texts prompted.
   * @returns texts.length x dimensions, row by row.
   * @throws ApiError; the signal's reason, when that is not its time-out.
   */
  async embed(texts: readonly string[], signal: AbortSignal): Promise<Float32Array> {
    try {
      const response = await fetch(this.#endpoint.url, {
        method: 'POST',
        headers: this.#headers,
        body: this.#body(texts),
        // Where it leads to would be sent the key.
        redirect: 'manual',
        signal,
      });
      if (response.status !== 200) throw await this.#refusal(response);
      return await this.#vectors(response, texts.length);
    } catch (thrown) {
      if (thrown instanceof ApiError) throw thrown;
      if (!signal.aborted) throw networkFailure(thrown, this.shown);
      if (!isTimeout(signal.reason)) throw signal.reason;
      throw new ApiError('unclear', `${this.shown} did not answer in time.`);
    }
  }

  #body(texts: readonly string[]): string {
    const { model, space } = this.#options;
    // JSON could hold half a surrogate pair, and many a server could not.
    const input = texts.map((text) => text.toWellFormed());
    return JSON.stringify(
      this.#endpoint.kind === 'tei'
        ? { inputs: input, truncate: true, normalize: space.normalize }
        : { model, input, encoding_format: 'float' },
    );
  }

  async #vectors(response: Response, count: number): Promise<Float32Array> {
    const { dimensions, normalize } = this.#options.space;
    const text = await readBounded(response, BYTES_AROUND + count * dimensions * BYTES_A_NUMBER);
    if (text === null) throw this.#wrong('its answer is too long');
    const read = this.#endpoint.kind === 'tei' ? teiVectors : openAiVectors;
    try {
      return read(JSON.parse(text), { count, dimensions, normalize });
    } catch (error) {
      throw this.#wrong(error instanceof WrongVectors ? error.message : 'its answer is not JSON');
    }
  }

  #wrong(why: string): ApiError {
    return new ApiError('unclear', `${this.shown} gave no usable vectors: ${why}.`);
  }

  async #refusal(response: Response): Promise<ApiError> {
    const { status, headers } = response;
    const isRedirect = status >= 300 && status < 400;
    const verdict: Verdict =
      isRedirect || MISCONFIGURED.has(status) ? 'misconfigured' : AWAY.has(status) ? 'away' : 'unclear';
    const wait = retryAfterMs(headers.get('retry-after'), Date.now());
    const reason = reasonIn(await readBounded(response, ERROR_BYTES).catch(() => null));
    const said = reason === undefined ? `${status}` : `${status} ${reason}`;
    const advice = isRedirect ? '; redirects are not followed' : (ADVICE[status] ?? '');
    return new ApiError(verdict, `${this.shown} answered ${said}${advice}.`, wait);
  }
}

const ADVICE: Partial<Record<number, string>> = {
  401: '; see REMOTE_EMBEDDING_API_KEY',
  403: '; see REMOTE_EMBEDDING_API_KEY',
  404: '; see REMOTE_EMBEDDING_URL and REMOTE_EMBEDDING_MODEL',
  405: '; see REMOTE_EMBEDDING_URL',
};

const isTimeout = (reason: unknown): boolean =>
  reason instanceof DOMException && reason.name === 'TimeoutError';

/** An error's code or type, which are words of the API's. Its sentences may quote texts or the key: these are not passed on. */
function reasonIn(body: string | null): string | undefined {
  try {
    const json = JSON.parse(body ?? '') as Record<string, unknown>;
    const error = (typeof json['error'] === 'object' && json['error']) || json;
    const { code, type, error_type: teiType } = error as Record<string, unknown>;
    return [code, type, teiType].find(
      (word): word is string => typeof word === 'string' && /^[A-Za-z][A-Za-z_]{1,39}$/.test(word),
    );
  } catch {
    return undefined;
  }
}
