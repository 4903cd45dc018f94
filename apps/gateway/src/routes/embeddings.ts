import { AppError } from '@embergate/contracts/errors.ts';
import type {
  EmbeddingsRequest,
  EmbeddingsResponse,
  ModelsResponse,
} from '@embergate/contracts/http-embeddings.ts';
import type { InputType } from '@embergate/contracts/space.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';
import type { Handler } from '../app.ts';
import type { Embedder } from '../embedder.ts';
import { abortedWhenGone, setEmbeddingHeaders } from './search.ts';

const LIST_DEADLINE_MS = 60_000;
const QUERY_SUFFIX = ':query';

export interface EmbeddingRouteParts {
  embedder: Embedder;
  model: InstalledModel;
  queryDeadlineMs: number;
}

/** POST /v1/embeddings: one text takes the query lane, a list the bulk lane. */
export const embeddingsHandler =
  ({ embedder, model, queryDeadlineMs }: EmbeddingRouteParts): Handler =>
  async (request, response) => {
    const body = request.body as EmbeddingsRequest;
    const inputType = checkModel(body, model);
    if (body.dimensions !== undefined && body.dimensions !== model.space.dimensions) {
      throw new AppError(
        'invalid_request',
        `dimensions: ${model.name} has ${model.space.dimensions} and was not trained to be cut (no Matryoshka).`,
      );
    }
    const signal = abortedWhenGone(response);
    const single =
      typeof body.input === 'string' ? body.input : body.input.length === 1 ? body.input[0] : undefined;
    let vectors: Float32Array[];
    let tokens: number;
    if (single !== undefined) {
      const one = await embedder.embedOne(single, inputType, {
        deadlineMs: body.deadlineMs ?? queryDeadlineMs,
        signal,
      });
      vectors = [one.vector];
      tokens = one.tokens;
      setEmbeddingHeaders(response, one.report, one.timingsMs);
    } else {
      const deadlineMs = body.deadlineMs ?? LIST_DEADLINE_MS;
      const many = await embedder.embedList(body.input as string[], inputType, { deadlineMs, signal });
      vectors = many.vectors;
      tokens = many.tokens;
      setEmbeddingHeaders(response, many.report, { total: many.report.tookMs });
    }
    const encode = body.encoding_format === 'base64' ? toBase64 : toNumbers;
    response.json({
      object: 'list',
      data: vectors.map((vector, index) => ({ object: 'embedding', index, embedding: encode(vector) })),
      model: body.model,
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    } satisfies EmbeddingsResponse);
  };

/** `<model>:query` asks for the query prompt where a client can't send `input_type`. */
function checkModel(body: EmbeddingsRequest, model: InstalledModel): InputType {
  const asksForQuery = body.model.endsWith(QUERY_SUFFIX);
  const name = asksForQuery ? body.model.slice(0, -QUERY_SUFFIX.length) : body.model;
  if (name !== model.name) {
    throw new AppError(
      'model_not_found',
      `There is no model ${JSON.stringify(name)} here; this gateway serves ${model.name}.`,
    );
  }
  return body.input_type ?? (asksForQuery ? 'query' : 'document');
}

const toNumbers = (vector: Float32Array): number[] => Array.from(vector);
const toBase64 = (vector: Float32Array): string =>
  Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64');

/** GET /v1/models */
export const modelsHandler =
  (embedder: Embedder, model: InstalledModel): Handler =>
  (_request, response) => {
    const answer: ModelsResponse = {
      object: 'list',
      data: [
        {
          id: model.name,
          object: 'model',
          created: 0,
          owned_by: 'embergate',
          space: embedder.space,
          dimensions: model.space.dimensions,
          maxTokens: model.maxTokens,
        },
      ],
    };
    response.json(answer);
  };
