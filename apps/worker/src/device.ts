import { AppError } from '@embergate/contracts/errors.ts';
import type { TierName } from '@embergate/contracts/tiers.ts';
import type { Logger } from '@embergate/platform/logs.ts';

export type Device = 'cpu' | 'cuda' | 'webgpu';
export type AskedDevice = 'auto' | Device;
/** A tier whose workers compute on a device of their own. */
export type LocalTier = Exclude<TierName, 'remote'>;

/** Which devices to try, one after the other, and why these. */
export interface DevicePlan {
  asked: AskedDevice;
  devices: readonly Device[];
  why: string;
  /** WebGPU may be a program on the CPU: only who asks for WebGPU by name may want that. */
  mayBeSoftware: boolean;
}

const ADVICE: Record<Device, string> = {
  cpu: '',
  cuda: 'onnxruntime comes without its CUDA libraries, and needs NVIDIA’s beside them: docs/operations.md, "GPUs", says how to add both.',
  webgpu:
    'It needs a GPU with its driver for Vulkan (on Linux, with libvulkan1), Metal or Direct3D 12: docs/operations.md, "GPUs".',
};

/**
 * Where the model shall run. A worker of the gpu tier never falls back to the CPU by itself: whoever declares a gpu tier
 * counts on its speed. One of the cpu tier does not look for a GPU by itself: that takes time at every start, and what
 * it finds on a machine without one is a program on the CPU.
 */
export function planDevices(tier: LocalTier, asked: AskedDevice, log: Logger): DevicePlan {
  if (asked === 'auto' && tier === 'gpu') {
    return { asked, devices: ['cuda', 'webgpu'], why: 'auto in the gpu tier', mayBeSoftware: false };
  }
  if (asked === 'auto') {
    return {
      asked,
      devices: ['cpu'],
      why: `auto stays with the CPU in the ${tier} tier`,
      mayBeSoftware: false,
    };
  }
  if (asked === 'cpu' && tier === 'gpu') {
    log.warn('the CPU stands in for the GPU in a worker of the gpu tier');
    return {
      asked,
      devices: ['cpu'],
      why: 'stands in for the GPU, as EMBEDDING_DEVICE=cpu asks',
      mayBeSoftware: false,
    };
  }
  return { asked, devices: [asked], why: `EMBEDDING_DEVICE=${asked} asks for it`, mayBeSoftware: true };
}

/**
 * Opens the model on the first device of the plan that works.
 *
 * @param open rejects with `device_unavailable` where the device does not work; any other error is not the device's.
 * @returns the model, and for people why it runs where it does.
 * @throws AppError `device_unavailable`, with the reason of each device that was tried and what to do.
 */
export async function openFirst<Opened extends { readonly proof: string }>(
  plan: DevicePlan,
  open: (device: Device) => Promise<Opened>,
): Promise<{ opened: Opened; reason: string }> {
  const failed: { device: Device; why: string }[] = [];
  for (const device of plan.devices) {
    try {
      const opened = await open(device);
      const without = failed.map(({ device: name, why }) => `; without ${name}: ${why}`).join('');
      return { opened, reason: `${plan.why}: ${opened.proof}${without}` };
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'device_unavailable') throw error;
      failed.push({ device, why: error.message });
    }
  }
  throw noDevice(plan, failed);
}

function noDevice({ asked }: DevicePlan, failed: readonly { device: Device; why: string }[]): AppError {
  const reasons = failed.map(({ device, why }) => `${device}: ${why} ${ADVICE[device]}`.trim());
  const message =
    asked === 'auto'
      ? `No GPU works, and a worker of the gpu tier does not fall back by itself. ${reasons.join(' ')} EMBEDDING_DEVICE=cpu lets the CPU stand in.`
      : `EMBEDDING_DEVICE=${asked} does not work. ${reasons.join(' ')}`;
  return new AppError('device_unavailable', message);
}
