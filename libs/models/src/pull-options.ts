import type { Device } from './catalog-schema.ts';
import type { LockOptions } from './folder-lock.ts';
import type { SourceOptions } from './sources.ts';

export interface PullProgress {
  /** Source that is being read, such as `hub`. */
  source: string;
  file: string;
  bytes: number;
  totalBytes: number;
  /** Of all files of the model. */
  overall: { bytes: number; totalBytes: number };
}

/** What a pull will do, told before it does it. */
export interface PullPlan {
  fetchBytes: number;
  /** Variant -> about how many bytes on the disk, at most. */
  builds: Readonly<Record<string, number>>;
  folder: string;
}

export interface PullOptions extends SourceOptions, LockOptions {
  modelDir: string;
  /** A file with models of the user's: MODEL_CATALOG. */
  catalogFile?: string | undefined;
  /** What to build. Default: the one that the catalog takes on `device`. */
  variants?: readonly string[] | undefined;
  /** Default `cpu`. */
  device?: Device | undefined;
  /** The checkout stays after the build, for other variants. */
  keepCheckout?: boolean | undefined;
  /** Nothing is fetched: the checkout must be there, or be named. */
  isOffline?: boolean | undefined;
  /** Where one build goes instead of MODEL_DIR. */
  out?: string | undefined;
  onPlan?: ((plan: PullPlan) => void) | undefined;
  onProgress?: ((progress: PullProgress) => void) | undefined;
  onBuild?: ((progress: { variant: string; done: number; total: number }) => void) | undefined;
}
