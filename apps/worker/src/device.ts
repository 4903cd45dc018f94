import { AppError } from '@embergate/contracts/errors.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import type { Logger } from '@embergate/platform/logs.ts';

/**
 * Where the model shall run. A worker of the gpu tier never falls back to the CPU by itself: whoever declares a gpu tier
 * counts on its speed.
 *
 * @throws AppError `device_unavailable`.
 */
export function chooseDevice(tier: TierName, asked: 'auto' | 'cuda' | 'webgpu' | 'cpu', log: Logger): 'cpu' {
  if (asked === 'cuda' || asked === 'webgpu') {
    throw new AppError(
      'device_unavailable',
      `EMBEDDING_DEVICE=${asked} is not supported by this version; use cpu.`,
    );
  }
  if (tier === 'remote') {
    throw new AppError('device_unavailable', 'WORKER_TIER=remote is not supported by this version.');
  }
  if (tier === 'gpu' && asked === 'auto') {
    throw new AppError(
      'device_unavailable',
      'No GPU can be used, and a worker of the gpu tier does not fall back by itself. EMBEDDING_DEVICE=cpu lets the CPU stand in.',
    );
  }
  if (tier === 'gpu') log.warn('the CPU stands in for the GPU in a worker of the gpu tier');
  return 'cpu';
}
