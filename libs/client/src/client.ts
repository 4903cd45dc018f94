import type { AdoptionPreview, AdoptionRequest } from '@embergate/contracts/adoption.ts';
import { AppError, ERROR_KINDS, type ErrorCode } from '@embergate/contracts/errors.ts';
import type { Cluster, Collection, CollectionList } from '@embergate/contracts/http-cluster.ts';
import { problemSchema } from '@embergate/contracts/http-cluster.ts';
import type {
  EmbeddingsRequest,
  EmbeddingsResponse,
  ModelsResponse,
} from '@embergate/contracts/http-embeddings.ts';
import type { SearchAsk, SearchResponse } from '@embergate/contracts/http-search.ts';
import type { IndexJob, IndexJobRequest } from '@embergate/contracts/index-job.ts';
import { isEnded } from '@embergate/contracts/index-job.ts';
import { EventSourceParserStream } from 'eventsource-parser/stream';

export interface ClientOptions {
  /** Such as http://127.0.0.1:8080 */
  url: string;
  apiKey?: string | undefined;
}

/** What a request needs: everything with a default may be left out. */
type Ask<Request, Required extends keyof Request> = Pick<Request, Required> &
  Partial<Omit<Request, Required>>;

export interface Readiness {
  status: string;
  checks: Record<string, string>;
}

/** A typed client of the gateway. Every failure is an AppError with the gateway's own code. */
export class EmbergateClient {
  readonly url: string;
  readonly #headers: Record<string, string>;

  constructor({ url, apiKey }: ClientOptions) {
    this.url = url.replace(/\/+$/, '');
    this.#headers = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
  }

  search(request: SearchAsk, signal?: AbortSignal): Promise<SearchResponse> {
    return this.#json('POST', '/v1/search', { body: request, signal });
  }

  embeddings(
    request: Ask<EmbeddingsRequest, 'input' | 'model'>,
    signal?: AbortSignal,
  ): Promise<EmbeddingsResponse> {
    return this.#json('POST', '/v1/embeddings', { body: request, signal });
  }

  models(): Promise<ModelsResponse> {
    return this.#json('GET', '/v1/models');
  }

  createIndexJob(request: Ask<IndexJobRequest, 'source'>): Promise<IndexJob> {
    return this.#json('POST', '/v1/index-jobs', { body: request });
  }

  async indexJobs(): Promise<IndexJob[]> {
    const { data } = await this.#json<{ data: IndexJob[] }>('GET', '/v1/index-jobs');
    return data;
  }

  indexJob(id: string): Promise<IndexJob> {
    return this.#json('GET', `/v1/index-jobs/${encodeURIComponent(id)}`);
  }

  cancelIndexJob(id: string): Promise<IndexJob> {
    return this.#json('DELETE', `/v1/index-jobs/${encodeURIComponent(id)}`);
  }

  /** The job's states as they change; the last one has ended. */
  async *watchIndexJob(id: string, signal?: AbortSignal): AsyncGenerator<IndexJob> {
    const response = await this.#fetch('GET', `/v1/index-jobs/${encodeURIComponent(id)}/events`, { signal });
    const events = response.body
      ?.pipeThrough(new TextDecoderStream())
      .pipeThrough(new EventSourceParserStream());
    for await (const { event, data } of untilBroken(events ?? [], signal)) {
      if (event !== 'job')
        throw new AppError('gateway_unreachable', `The gateway stopped telling about job ${id}: ${data}`);
      const job = JSON.parse(data) as IndexJob;
      yield job;
      if (isEnded(job.state)) return;
    }
    throw new AppError(
      'gateway_unreachable',
      `The gateway closed the connection while job ${id} was running.`,
    );
  }

  collections(): Promise<CollectionList> {
    return this.#json('GET', '/v1/collections');
  }

  collection(name: string): Promise<Collection> {
    return this.#json('GET', `/v1/collections/${encodeURIComponent(name)}`);
  }

  previewAdoption(name: string, request: Ask<AdoptionRequest, 'from'>): Promise<AdoptionPreview> {
    return this.#json('POST', `/v1/collections/${encodeURIComponent(name)}/adopt/preview`, { body: request });
  }

  /** @returns one job for each repo. */
  async adoptCollection(name: string, request: Ask<AdoptionRequest, 'from'>): Promise<IndexJob[]> {
    const path = `/v1/collections/${encodeURIComponent(name)}/adopt`;
    const { data } = await this.#json<{ data: IndexJob[] }>('POST', path, { body: request });
    return data;
  }

  async deleteCollection(name: string): Promise<void> {
    await this.#fetch('DELETE', `/v1/collections/${encodeURIComponent(name)}`);
  }

  cluster(): Promise<Cluster> {
    return this.#json('GET', '/v1/cluster');
  }

  /** Whether a search can be answered now; a gateway that is not ready is no failure here. */
  async readiness(): Promise<Readiness> {
    return this.#json('GET', '/readyz', { expect: [503] });
  }

  async #json<T>(method: string, path: string, options: FetchOptions = {}): Promise<T> {
    const response = await this.#fetch(method, path, options);
    const text = await textOf(response, options.signal);
    const value = parseJson(text);
    if (value === undefined) throw notOfAGateway(response, text);
    return value as T;
  }

  async #fetch(
    method: string,
    path: string,
    { body, signal, expect = [] }: FetchOptions = {},
  ): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(this.url + path, {
        method,
        headers: { ...this.#headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        ...(signal && { signal }),
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw new AppError(
        'gateway_unreachable',
        `No gateway answers at ${this.url}. Start one with \`npx embergate up\`, or set EMBERGATE_URL.`,
        {
          cause: error,
        },
      );
    }
    if (response.ok || expect.includes(response.status)) return response;
    throw failureOf(response, await textOf(response, signal));
  }
}

/** A connection that breaks in the middle is a gateway that went away. */
async function* untilBroken<T>(
  stream: AsyncIterable<T> | Iterable<T>,
  signal?: AbortSignal,
): AsyncGenerator<T> {
  try {
    yield* stream;
  } catch (error) {
    signal?.throwIfAborted();
    throw new AppError('gateway_unreachable', 'The connection to the gateway broke.', { cause: error });
  }
}

interface FetchOptions {
  body?: unknown;
  signal?: AbortSignal | undefined;
  /** Statuses beside 2xx that are answers. */
  expect?: number[];
}

async function textOf(response: Response, signal: AbortSignal | undefined): Promise<string> {
  try {
    return await response.text();
  } catch (error) {
    signal?.throwIfAborted();
    throw new AppError('gateway_unreachable', 'The connection to the gateway broke.', { cause: error });
  }
}

function failureOf(response: Response, text: string): AppError {
  const problem = problemSchema.loose().safeParse(parseJson(text));
  if (!problem.success || !(problem.data.code in ERROR_KINDS)) return notOfAGateway(response, text);
  const { code, detail, retryAfterMs, jobId, reason } = problem.data;
  return new AppError(code as ErrorCode, detail, {
    details: {
      ...(retryAfterMs !== undefined && { retryAfterMs }),
      ...(jobId !== undefined && { jobId }),
      ...(reason !== undefined && { reason }),
    },
  });
}

const notOfAGateway = ({ url, status }: Response, text: string): AppError =>
  new AppError(
    'gateway_unreachable',
    `${url} answered ${status}, not as an Embergate gateway does: ${text.slice(0, 200)}`,
  );

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
