import { AppError } from '@embergate/contracts/errors.ts';
import { spaceId } from '@embergate/contracts/space.ts';
import { isAligned, type AlignmentFloors } from '@embergate/embedding/alignment.ts';
import type { Golden } from '@embergate/models/goldens.ts';
import { verifyModel, type InstalledModel } from '@embergate/models/installed-model.ts';
import { agreementOf, type Agreement } from './agreement.ts';
import { embedTexts, type EmbeddedTexts, type VerifiableModel } from './embed-texts.ts';
import { VERIFY_TEXTS } from './texts.ts';

export interface VerifyOptions {
  open: (model: InstalledModel) => Promise<VerifiableModel>;
  goldens: readonly Golden[] | null;
  /** Another variant of the same space. */
  against: InstalledModel | null;
  floors: AlignmentFloors;
  signal: AbortSignal;
  /** Told what is being done. */
  onStep: (step: string) => void;
}

export interface Verification {
  name: string;
  variant: string;
  folder: string;
  space: string;
  device: string;
  /** False where any of what follows is below its floor. */
  ok: boolean;
  loadMs: number;
  /** One query of usual length, the median of several. */
  queryMs: number;
  /** Vectors of texts alone, compared with those of the same texts in one batch. */
  batch: Agreement;
  /** `ids`: how many of the goldens' texts have other token ids; null where the goldens have none. */
  goldens: (Agreement & { texts: number; otherIds: number | null }) | null;
  against: (Agreement & { variant: string; folder: string }) | null;
}

/** Nothing but the order of additions may differ. */
const BATCH_COSINE = 0.99999;
const LENGTH_TOLERANCE = 1e-3;
const TIMED_QUERIES = 7;

/**
 * Tries an installed model: its files, vectors alone and in a batch, and, where there are such, the vectors of the model's own code and those of
 * another variant.
 * Errors: `checksum_mismatch`, `model_damaged` (also for vectors that are not of length one), `space_mismatch` for another
 * variant that is of another space; the signal's reason.
 */
export async function verifyInstalled(model: InstalledModel, options: VerifyOptions): Promise<Verification> {
  const { against, onStep } = options;
  if (against && spaceId(against.space) !== spaceId(model.space)) {
    const spaces = `${spaceId(model.space)} and ${spaceId(against.space)}`;
    throw new AppError(
      'space_mismatch',
      `Only variants of one space can be compared, these are of ${spaces}.`,
    );
  }
  onStep('reading all files');
  await verifyModel(model);
  const own = await withModel(model, options, async (loaded, loadMs) => {
    return { loadMs, ...(await tryModel(loaded, options)) };
  });
  let agreement: Agreement | null = null;
  if (against) {
    await verifyModel(against);
    const other = await withModel(against, options, (loaded) => embedAll(loaded, VERIFY_TEXTS, options));
    agreement = agreementOf(own.texts, other.vectors);
  }
  const { texts: _texts, ...figures } = own;
  const found = {
    ...figures,
    against: agreement && against && { ...agreement, variant: against.variant, folder: against.folder },
  };
  return {
    name: model.name,
    variant: model.variant,
    folder: model.folder,
    space: spaceId(model.space),
    ok: isWell(found, options.floors),
    ...found,
  };
}

type Figures = Pick<Verification, 'batch' | 'goldens' | 'against'>;

function isWell({ batch, goldens, against }: Figures, floors: AlignmentFloors): boolean {
  const meets = ({ cosine, overlap }: Agreement) => isAligned({ cosine: cosine.least, overlap }, floors);
  return (
    batch.cosine.least >= BATCH_COSINE &&
    (goldens === null || (meets(goldens) && !goldens.otherIds)) &&
    (against === null || meets(against))
  );
}

async function withModel<T>(
  model: InstalledModel,
  { open, onStep }: VerifyOptions,
  work: (loaded: VerifiableModel, loadMs: number) => Promise<T>,
): Promise<T> {
  onStep(`loading ${model.variant} of ${model.name}`);
  const startedAt = performance.now();
  const loaded = await open(model);
  try {
    return await work(loaded, performance.now() - startedAt);
  } finally {
    await loaded.backend.close();
  }
}

async function tryModel(loaded: VerifiableModel, options: VerifyOptions) {
  const { goldens } = options;
  const texts = await embedAll(loaded, VERIFY_TEXTS, options);
  expectUnitLength(loaded.model, texts);
  options.onStep('embedding all texts in one batch');
  const { vectors: together } = await loaded.backend.embed(texts.ids);
  return {
    device: loaded.backend.device,
    texts,
    queryMs: await timeQuery(loaded, texts.ids[0] as Uint32Array),
    batch: agreementOf(texts, together),
    goldens: goldens && (await compareGoldens(loaded, goldens, options)),
  };
}

async function embedAll(
  loaded: VerifiableModel,
  texts: Parameters<typeof embedTexts>[1],
  { signal, onStep }: VerifyOptions,
): Promise<EmbeddedTexts> {
  let done = 0;
  const onText = (): void =>
    onStep(`embedding with ${loaded.model.variant}: ${++done} of ${texts.length} texts`);
  return embedTexts(loaded, texts, { signal, onText });
}

function expectUnitLength({ space, folder }: InstalledModel, { ids, vectors }: EmbeddedTexts): void {
  ids.forEach((_, at) => {
    const length = Math.hypot(...vectors.subarray(at * space.dimensions, (at + 1) * space.dimensions));
    if (!space.normalize || Math.abs(length - 1) <= LENGTH_TOLERANCE) return;
    throw new AppError(
      'model_damaged',
      `The model in ${folder} makes vectors of length ${length.toFixed(4)}.`,
    );
  });
}

async function timeQuery({ backend }: VerifiableModel, ids: Uint32Array): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < TIMED_QUERIES; n++) {
    const startedAt = performance.now();
    await backend.embed([ids]);
    times.push(performance.now() - startedAt);
  }
  return times.sort((x, y) => x - y)[Math.floor(TIMED_QUERIES / 2)] as number;
}

async function compareGoldens(
  loaded: VerifiableModel,
  goldens: readonly Golden[],
  options: VerifyOptions,
): Promise<Verification['goldens']> {
  const { dimensions } = loaded.model.space;
  const wrong = goldens.find(({ vector }) => vector.length !== dimensions);
  if (wrong) {
    const what = `${wrong.vector.length} dimensions, the model has ${dimensions}`;
    throw new AppError('space_mismatch', `The goldens have ${what}: they are of another model.`);
  }
  const own = await embedAll(loaded, goldens, options);
  const held = Float32Array.from(goldens.flatMap(({ vector }) => vector));
  const known = goldens.flatMap(({ ids }, at) => (ids ? [{ ids, own: own.ids[at] as Uint32Array }] : []));
  const other = known.filter(({ ids, own: mine }) => String(ids) !== String(mine));
  return {
    ...agreementOf(own, held),
    texts: goldens.length,
    otherIds: known.length > 0 ? other.length : null,
  };
}
