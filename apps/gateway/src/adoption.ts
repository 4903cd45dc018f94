import {
  LEAST_AGREEMENT,
  type AdoptionPreview,
  type AdoptionRequest,
  type ForeignFields,
  type QdrantSource,
} from '@embergate/contracts/adoption.ts';
import { AppError } from '@embergate/contracts/errors.ts';
import { spaceId, type EmbeddingSpace } from '@embergate/contracts/space.ts';
import { foreignChunk, repoOf } from '@embergate/ingestion/foreign-chunks.ts';
import { guessFields, seenFields, type SeenField } from '@embergate/ingestion/foreign-fields.ts';
import { fits, lengthOf, vectorProblem, wrongLength } from '@embergate/ingestion/foreign-source.ts';
import type {
  ForeignCollection,
  ForeignCollections,
  ForeignPoint,
  ForeignVector,
} from '@embergate/vector-store/foreign-collections.ts';

import { agreementOf, type EmbeddedText, type EmbedText } from './adoption-agreement.ts';

export interface AdoptionParts {
  foreign: ForeignCollections;
  space: EmbeddingSpace;
  embed: EmbedText;
}

/** What was found, and the source that index jobs are to have where nothing is wrong. */
export interface Inspection {
  preview: AdoptionPreview;
  source: QdrantSource | null;
  problems: AppError[];
}

const SAMPLE = 64;
const SHOWN_CHUNKS = 3;
const SHOWN_FIELDS = 40;
const SHOWN_CHARACTERS = 400;
const EXAMPLE_CHARACTERS = 120;
/** Each becomes an index job. */
const MAX_REPOS = 200;

/**
 * Looks at somebody else's collection: which payload field says what, and whether its vectors may be of this deployment's
 * space, by their dimensions, their lengths, and the vectors that its own model makes of some of the texts.
 *
 * @throws AppError `source_not_found`, and those of the store.
 */
export async function inspect(
  { foreign, space, embed }: AdoptionParts,
  collection: string,
  request: AdoptionRequest,
): Promise<Inspection> {
  const described = await foreign.describe(request.from);
  const vector = chosenVector(described, request.vector, space);
  const points = await foreign.sample(request.from, SAMPLE, vector === undefined ? {} : { vector });
  const seen = seenFields(points.map(({ payload }) => payload));
  const fields = guessFields(seen, request.fields);
  const defaultRepo = request.repo ?? request.from;
  const declared = request.space ?? spaceId(space);
  const fitting = vectorProblem(vector, { declared, space });
  const known = fields.text === undefined ? null : { ...fields, text: fields.text };
  const repos = known === null ? [] : await countRepos(foreign, described, { fields: known, defaultRepo });
  const agreement = known && !fitting ? await agreementOf(textsOf(points, known), embed) : null;
  const lengths = points.flatMap((point) => (point.vector ? [lengthOf(point.vector)] : []));
  const problems = [
    ...(fitting ? [fitting] : lengthProblem(lengths, space)),
    ...contentProblems({ described, known, seen, repos }),
    ...(agreement && agreement.mean < LEAST_AGREEMENT ? [disagreement(agreement, space)] : []),
  ];
  const { from, lexical } = request;
  const preview = {
    from,
    collection,
    points: described.points,
    vector: vector ? { name: vector.name, dimensions: vector.dimensions, distance: vector.distance } : null,
    space: declared,
    dimensions: space.dimensions,
    fields,
    payloadFields: shownFields(seen),
    repos,
    lengths: rangeOf(lengths),
    agreement,
    sample: known === null ? [] : shownChunks(points, { fields: known, defaultRepo }),
    problems: problems.map(({ code, message }) => ({ code, message })),
  };
  const source = known && {
    ...{ type: 'qdrant' as const, collection: from, vector: vector?.name ?? '', fields: known },
    ...{ defaultRepo, lexical, space: declared },
  };
  return { preview, source, problems };
}

/** The one that was named; else the only one, or the only one of the right dimensions. */
function chosenVector(
  { vectors }: ForeignCollection,
  name: string | undefined,
  space: EmbeddingSpace,
): ForeignVector | undefined {
  if (name !== undefined) return vectors.find((vector) => vector.name === name);
  const fitting = vectors.filter(({ dimensions }) => dimensions === space.dimensions);
  return fitting.length === 1 ? fitting[0] : vectors.length === 1 ? vectors[0] : undefined;
}

/** Reads one field of every point: a facet would need an index that the other program may not have made. */
async function countRepos(
  foreign: ForeignCollections,
  { name: from, points: all }: ForeignCollection,
  { fields, defaultRepo }: { fields: ForeignFields; defaultRepo: string },
): Promise<AdoptionPreview['repos']> {
  if (fields.repo === undefined) return [{ name: defaultRepo, points: all }];
  const counts = new Map<string, number>();
  for await (const page of foreign.points(from, { fields: [fields.repo] })) {
    for (const { payload } of page) {
      const repo = repoOf(payload, fields) ?? defaultRepo;
      counts.set(repo, (counts.get(repo) ?? 0) + 1);
    }
  }
  return [...counts]
    .map(([name, points]) => ({ name, points }))
    .sort((one, other) => other.points - one.points);
}

function contentProblems({
  described,
  known,
  seen,
  repos,
}: {
  described: ForeignCollection;
  known: ForeignFields | null;
  seen: readonly SeenField[];
  repos: AdoptionPreview['repos'];
}): AppError[] {
  if (described.points === 0) return [invalid(`${described.name} holds no points.`)];
  if (known === null) {
    const names = seen.map(({ field }) => field).join(', ');
    return [invalid(`No payload field looks like a text (there are: ${names}); name it: fields.text.`)];
  }
  const missing = Object.values(known).filter((way) => !seen.some(({ field }) => field === way));
  const problems = missing.map((way) => invalid(`None of the sampled points has a payload field "${way}".`));
  if (repos.length > MAX_REPOS)
    problems.push(
      invalid(
        `The field ${known.repo} names ${repos.length} repos; a job is made for each, and ${MAX_REPOS} is the most. Name another field, or none.`,
      ),
    );
  return problems;
}

function lengthProblem(lengths: readonly number[], space: EmbeddingSpace): AppError[] {
  const wrong = lengths.find((length) => !fits(length, space));
  return wrong === undefined ? [] : [wrongLength('a sampled point', wrong)];
}

/** Texts of the sample that a model makes quickly, with what the other program made of them. */
const textsOf = (points: readonly ForeignPoint[], fields: ForeignFields): EmbeddedText[] =>
  points.flatMap((point) => {
    const chunk = foreignChunk(point, fields);
    return 'reason' in chunk || point.vector === null ? [] : [{ text: chunk.text, vector: point.vector }];
  });

const disagreement = ({ mean }: { mean: number }, space: EmbeddingSpace): AppError =>
  new AppError(
    'space_mismatch',
    `Texts embedded anew by ${space.model} have a mean cosine of ${mean.toFixed(3)} with their vectors: another model made them, or the field of the text is another one.`,
  );

const shownFields = (seen: readonly SeenField[]): AdoptionPreview['payloadFields'] =>
  seen.slice(0, SHOWN_FIELDS).map(({ field, share, example }) => ({
    field,
    share,
    example: example.slice(0, EXAMPLE_CHARACTERS),
  }));

const rangeOf = (lengths: readonly number[]): AdoptionPreview['lengths'] =>
  lengths.length === 0
    ? null
    : { sampled: lengths.length, min: Math.min(...lengths), max: Math.max(...lengths) };

function shownChunks(
  points: readonly ForeignPoint[],
  { fields, defaultRepo }: { fields: ForeignFields; defaultRepo: string },
): AdoptionPreview['sample'] {
  return points
    .flatMap((point) => {
      const chunk = foreignChunk(point, fields);
      if ('reason' in chunk) return [];
      const repo = repoOf(point.payload, fields) ?? defaultRepo;
      return [{ ...chunk, repo, text: chunk.text.slice(0, SHOWN_CHARACTERS) }];
    })
    .slice(0, SHOWN_CHUNKS);
}

const invalid = (message: string): AppError => new AppError('vectors_invalid', message);
