import { AppError } from '@embergate/contracts/errors.ts';
import { statfs } from 'node:fs/promises';

/** Bytes a weight takes in a build, scales and the token table (8 bits wide in the small ones) included: rather too much. */
const BYTES_PER_PARAMETER: Record<string, number> = { int4: 0.75, int8: 1.3, fp16: 2.2, fp32: 4.4 };

/** Of a model's files, nearly all of which are weights; blocks of quantised ones have a scale. */
const BYTES_PER_WEIGHT: Record<string, number> = { int4: 0.53, int8: 1.03, fp16: 2, fp32: 4 };

/** About how many weights a model has whose files take so much. */
export const weightsIn = ({ bytes, variant }: { bytes: number; variant: string }): number =>
  bytes / (BYTES_PER_WEIGHT[variant] ?? 4);

/** Each tensor begins at a multiple of 64 KiB; and the graph and the tokenizer. */
const MORE_BYTES = 50e6;

/** What a build at that variant takes on the disk at most, about. */
export const buildBytes = (parameters: number, variant: string): number =>
  Math.ceil(parameters * (BYTES_PER_PARAMETER[variant] ?? 4.4) + MORE_BYTES);

/** For people, in powers of ten as disks and networks are sold: `28.3 GB`, `548 MB`, `1 kB`. */
export function readableBytes(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  return bytes >= 1e6 ? `${Math.round(bytes / 1e6)} MB` : `${Math.ceil(bytes / 1e3)} kB`;
}

/**
 * Before hours of work: whether the disk can hold what comes out of it.
 * @param needs what it is for -> bytes. Errors: `storage_full`, with what is needed for what, and what is free.
 */
export async function expectSpace(folder: string, needs: Readonly<Record<string, number>>): Promise<void> {
  // A file system that doesn't say has to be filled to find out.
  const free = await statfs(folder).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => Infinity,
  );
  const total = Object.values(needs).reduce((sum, bytes) => sum + bytes, 0);
  if (total <= free) return;
  const parts = Object.entries(needs).map(([what, bytes]) => `${readableBytes(bytes)} for ${what}`);
  throw new AppError(
    'storage_full',
    `${folder} has ${readableBytes(free)} free, ${readableBytes(total)} are needed: ${parts.join(', ')}. Free some space there, or set MODEL_DIR to another folder.`,
  );
}
