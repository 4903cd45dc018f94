/**
 * Names of the settings that several processes read, with one meaning each. `embergate up` passes them on to its children.
 * Parsing is platform's loadConfig; this file only says what is allowed.
 */
import { z } from 'zod';
import { AppError } from './errors.ts';
import { DEGRADATIONS } from './http-search.ts';
import { servedModelsSetting } from './served-models.ts';
import { TIER_NAMES } from './tiers.ts';

const LOG_LEVEL_NAMES = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
const VECTOR_STORES = ['lancedb', 'qdrant'] as const;
/** How Qdrant keeps vectors for the first look, in bits a dimension: 32, 8, 4, 2, 1. */
const QDRANT_QUANTIZATIONS = ['none', 'scalar', 'turbo4', 'turbo2', 'binary'] as const;
export type QdrantQuantization = (typeof QDRANT_QUANTIZATIONS)[number];
const EMBEDDING_DEVICES = ['auto', 'cuda', 'webgpu', 'cpu'] as const;
export const DEFAULT_MODEL = 'all-MiniLM-L6-v2';

const choice = <const Names extends readonly [string, ...string[]]>(names: Names) =>
  z.enum(names, { error: `must be one of: ${names.join(', ')}` });
const integer = (min: number, max: number) =>
  z
    .string()
    .refine((text) => /^\d+$/.test(text) && Number(text) >= min && Number(text) <= max, {
      error: `must be a whole number from ${min} to ${max}`,
    })
    .transform(Number);
const decimal = (min: number, max: number) =>
  z
    .string()
    .refine((text) => /^\d+(\.\d+)?$/.test(text) && Number(text) >= min && Number(text) <= max, {
      error: `must be a number from ${min} to ${max}`,
    })
    .transform(Number);
/** Of cosines and overlaps. */
const share = z
  .string()
  .refine((text) => /^(0(\.\d+)?|1(\.0+)?)$/.test(text), { error: 'must be a number from 0 to 1' })
  .transform(Number);
const url = (...protocols: string[]) =>
  z.string().refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol), {
    error: `must be a URL that starts with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
  });

/** An API that is not ours: a key in its address would be in every log. */
const apiUrl = (keySetting: string) =>
  url('http:', 'https:').refine(
    (text) => !URL.canParse(text) || new URL(text).username + new URL(text).password === '',
    { error: `must not hold a user or password; ${keySetting} is for a key` },
  );
/** What no header can hold would be quoted by the error that says so. */
const apiKey = z
  .string()
  .regex(/^[\x21-\x7e]+$/, { error: 'must be of printable ASCII characters without spaces' });

export const logSettings = { LOG_LEVEL: choice(LOG_LEVEL_NAMES).default('info') };

export const redisSettings = { REDIS_URL: url('redis:', 'rediss:') };

/** Named in the contract, and not served yet: a value that is silently ignored would be a wrong deployment. */
const notYet = z.undefined({ error: 'is not supported by this version; unset it' }).optional();
export const laterSettings = {
  REDIS_SENTINELS: notYet,
  REDIS_CLUSTER_NODES: notYet,
};

export const storeSettings = {
  VECTOR_STORE: choice(VECTOR_STORES).optional(),
  QDRANT_URL: url('http:', 'https:').optional(),
  // What no header can hold would be quoted by the error that says so.
  QDRANT_API_KEY: z
    .string()
    .regex(/^[\x21-\x7e]*$/, { error: 'must be of printable ASCII characters without spaces' })
    .optional(),
  QDRANT_QUANTIZATION: choice(QDRANT_QUANTIZATIONS).default('none'),
  QDRANT_OVERSAMPLING: decimal(1, 100).default(3),
  DATA_DIR: z.string().default('.embergate'),
};

export const modelSettings = {
  MODEL_DIR: z.string().optional(),
  EMBEDDING_MODEL: z.string().default(DEFAULT_MODEL),
  EMBEDDING_VARIANT: z.string().optional(),
  EMBEDDING_DIMENSIONS: integer(1, 65_536).optional(),
  MODEL_CATALOG: z.string().optional(),
  MODEL_HUB_URL: url('http:', 'https:').optional(),
  MODEL_MIRROR_URL: url('http:', 'https:').optional(),
};

const tiersSetting = z
  .string()
  .default('cpu')
  .transform((text) => text.split(',').map((part) => part.trim()))
  .refine((parts) => parts.every((part) => (TIER_NAMES as readonly string[]).includes(part)), {
    error: `must be a comma-separated list of: ${TIER_NAMES.join(', ')}`,
  })
  .refine((parts) => new Set(parts).size === parts.length, { error: 'must not name a tier twice' })
  .transform((parts) => parts as (typeof TIER_NAMES)[number][]);

export const gatewaySettings = {
  GATEWAY_HOST: z.string().default('127.0.0.1'),
  GATEWAY_PORT: integer(0, 65_535).default(8080),
  QUERY_DEADLINE_MS: integer(1, 600_000).default(2_000),
  DEGRADATION: choice(DEGRADATIONS).default('allow'),
  EMBEDDING_TIERS: tiersSetting,
  OTHER_EMBEDDING_MODELS: servedModelsSetting,
  QUERY_HEDGE_PERCENT: integer(0, 20).default(0),
  INDEX_ROOTS: z.string().optional(),
  API_KEYS_FILE: z.string().optional(),
  INDEX_JOBS_KEPT: integer(1, 100_000).default(1_000),
  INDEX_JOBS_KEPT_DAYS: integer(1, 3_650).default(30),
};

export const indexerSettings = {
  INDEX_CONCURRENCY: integer(1, 16).default(2),
  CHUNK_MAX_CHARS: integer(200, 16_000).optional(),
  GIT_CLONE_MAX_MB: integer(1, 1_000_000).default(4_096),
  GIT_CLONE_TIMEOUT_S: integer(1, 86_400).default(600),
};

export const rerankSettings = {
  RERANKER: z.string().optional(),
  RERANK_DEADLINE_MS: integer(1, 600_000).optional(),
  RERANK_CANDIDATES: integer(2, 100).optional(),
  RERANK_URL: apiUrl('RERANK_API_KEY').optional(),
  RERANK_API_KEY: apiKey.optional(),
  RERANK_MODEL: z.string().optional(),
};

export const workerSettings = {
  WORKER_TIER: choice(TIER_NAMES).default('cpu'),
  EMBEDDING_DEVICE: choice(EMBEDDING_DEVICES).default('auto'),
  BULK_PROCESSES: integer(0, 64).optional(),
  ALIGNMENT_MIN_COSINE: share.default(0.95),
  ALIGNMENT_MIN_OVERLAP: share.default(0.5),
  REMOTE_EMBEDDING_URL: apiUrl('REMOTE_EMBEDDING_API_KEY').optional(),
  REMOTE_EMBEDDING_API_KEY: apiKey.optional(),
  REMOTE_EMBEDDING_MODEL: z.string().optional(),
};

/** Every setting: an environment variable, or a command-line flag of the same name, which wins. */
export const SETTING_NAMES: readonly string[] = [
  logSettings,
  redisSettings,
  storeSettings,
  modelSettings,
  gatewaySettings,
  rerankSettings,
  indexerSettings,
  workerSettings,
].flatMap((settings) => Object.keys(settings));

export interface QdrantChoice {
  url: string;
  apiKey: string | undefined;
  quantization: QdrantQuantization;
  /** How many times the wanted number of candidates is compared by the vectors themselves. */
  oversampling: number;
}

export type StoreChoice = { kind: 'lancedb'; path: string } | ({ kind: 'qdrant' } & QdrantChoice);

type StoreConfig = z.infer<z.ZodObject<typeof storeSettings>>;

/** Qdrant where QDRANT_URL is set and nothing else is said; LanceDB in DATA_DIR otherwise. */
export function chooseStore(config: StoreConfig): StoreChoice {
  const kind = config.VECTOR_STORE ?? (config.QDRANT_URL === undefined ? 'lancedb' : 'qdrant');
  if (kind === 'lancedb') return { kind, path: `${config.DATA_DIR}/lancedb` };
  const qdrant = chooseQdrant(config);
  if (qdrant === null) {
    throw new AppError('config_invalid', 'QDRANT_URL is not set: VECTOR_STORE=qdrant needs it.');
  }
  return { kind, ...qdrant };
}

/** The Qdrant that collections can be adopted from, whichever store is in use; null where none is named. */
export function chooseQdrant(config: StoreConfig): QdrantChoice | null {
  if (config.QDRANT_URL === undefined) return null;
  return {
    url: config.QDRANT_URL,
    apiKey: config.QDRANT_API_KEY || undefined,
    quantization: config.QDRANT_QUANTIZATION,
    oversampling: config.QDRANT_OVERSAMPLING,
  };
}
