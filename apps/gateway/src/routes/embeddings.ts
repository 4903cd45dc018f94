import { AppError } from '@embergate/contracts/errors.ts';
import type {
  EmbeddingsRequest,
  EmbeddingsResponse,
  ModelsResponse,
} from '@embergate/contracts/http-embeddings.ts';
import type { Degradation, EmbeddingReport, Warning } from '@embergate/contracts/http-search.ts';
import type { InputType } from '@embergate/contracts/space.ts';
import { cutVectors } from '@embergate/embedding/matryoshka.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';
import type { Response } from 'express';
import type { Handler } from '../app.ts';
import type { GatewayMetrics } from '../metrics.ts';
import type { ServedSpace, ServedSpaces } from '../served-spaces.ts';
import { inSlices } from '../slices.ts';
import { abortedWhenGone, countDegraded, setEmbeddingHeaders } from './search.ts';

const LIST_DEADLINE_MS = 60_000;
const QUERY_SUFFIX = ':query';

export interface EmbeddingRouteParts {
  spaces: ServedSpaces;
  defaults: { deadlineMs: number; degradation: Degradation };
  metrics: GatewayMetrics;
}

/** POST /v1/embeddings: one text takes the query lane, a list the bulk lane. */
export const embeddingsHandler =
  ({ spaces, defaults, metrics }: EmbeddingRouteParts): Handler =>
  async (request, response) => {
    const body = request.body as EmbeddingsRequest;
    const { served, inputType } = asked(body, spaces);
    const { embedder, model } = served;
    const to = dimensionsOf(body, model);
    const signal = abortedWhenGone(response);
    const firstTierOnly = defaults.degradation === 'forbid';
    const texts = typeof body.input === 'string' ? [body.input] : body.input;
    const [single] = texts;
    let made: { vectors: Float32Array[]; tokens: number; report: EmbeddingReport; warnings: Warning[] };
    if (single !== undefined && texts.length === 1) {
      const deadlineMs = body.deadlineMs ?? defaults.deadlineMs;
      const one = await embedder.embedOne(single, inputType, { deadlineMs, firstTierOnly, signal });
      made = { ...one, vectors: [one.vector] };
      setEmbeddingHeaders(response, one.report, one.timingsMs);
    } else {
      const deadlineMs = body.deadlineMs ?? LIST_DEADLINE_MS;
      made = await embedder.embedList(texts, inputType, { deadlineMs, firstTierOnly, signal });
      setEmbeddingHeaders(response, made.report, { total: made.report.tookMs });
    }
    countDegraded(metrics, made.report);
    const encode = body.encoding_format === 'base64' ? toBase64 : toNumbers;
    const from = model.space.dimensions;
    const written: Buffer[] = [];
    const write = (vector: Float32Array, index: number): void => {
      const embedding = encode(to < from ? cutVectors(vector, { from, to }) : vector);
      const entry: Entry = { object: 'embedding', index, embedding };
      written.push(Buffer.from((index > 0 ? ',' : '') + JSON.stringify(entry)));
    };
    await inSlices(made.vectors, write, () => signal.throwIfAborted());
    send(response, written, {
      object: 'list',
      model: body.model,
      usage: { prompt_tokens: made.tokens, total_tokens: made.tokens },
      warnings: made.warnings,
    });
  };

type Entry = EmbeddingsResponse['data'][number];

/** The answer with its `data`, which was written before: thousands of vectors are a hundred megabytes. */
function send(response: Response, data: readonly Buffer[], rest: Omit<EmbeddingsResponse, 'data'>): void {
  const parts = [Buffer.from(`${JSON.stringify(rest).slice(0, -1)},"data":[`), ...data, Buffer.from(']}')];
  response.type('json').set('Content-Length', String(parts.reduce((sum, part) => sum + part.length, 0)));
  for (const part of parts) response.write(part);
  response.end();
}

/**
 * How many numbers the answer's vectors shall have.
 * @throws AppError `invalid_request` where the model was not trained to be cut so short, or its space is cut already.
 */
function dimensionsOf({ dimensions }: EmbeddingsRequest, model: InstalledModel): number {
  const { space, graphDimensions, matryoshka } = model;
  if (dimensions === undefined || dimensions === space.dimensions) return space.dimensions;
  const isWhole = space.dimensions === graphDimensions;
  if (isWhole && matryoshka.includes(dimensions)) return dimensions;
  const allowed = [space.dimensions, ...(isWhole ? matryoshka : [])].join(', ');
  const why = matryoshka.length > 0 ? '' : ' It was not trained to be cut (no Matryoshka).';
  throw new AppError('invalid_request', `dimensions: ${model.name} has ${allowed} here.${why}`);
}

/** `<model>:query` asks for the query prompt where a client can't send `input_type`. */
function asked(body: EmbeddingsRequest, spaces: ServedSpaces): { served: ServedSpace; inputType: InputType } {
  const asksForQuery = body.model.endsWith(QUERY_SUFFIX);
  const name = asksForQuery ? body.model.slice(0, -QUERY_SUFFIX.length) : body.model;
  const inputType = body.input_type ?? (asksForQuery ? 'query' : 'document');
  return { served: spaces.named(name), inputType };
}

const toNumbers = (vector: Float32Array): number[] => Array.from(vector);
const toBase64 = (vector: Float32Array): string =>
  Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64');

/** GET /v1/models */
export const modelsHandler =
  (spaces: ServedSpaces): Handler =>
  (_request, response) => {
    const answer: ModelsResponse = {
      object: 'list',
      data: spaces.all.map(({ id, model }) => ({
        id: model.name,
        object: 'model',
        created: 0,
        owned_by: 'embergate',
        space: id,
        dimensions: model.space.dimensions,
        maxTokens: model.maxTokens,
      })),
    };
    response.json(answer);
  };
