import { AppError } from '@embergate/contracts/errors.ts';
import { createLogger } from '@embergate/platform/logs.ts';
import { describe, expect, it, vi } from 'vitest';
import { openFirst, planDevices, type AskedDevice, type LocalTier } from '../src/device.ts';

const log = createLogger('test', 'silent');
const plan = (tier: LocalTier, asked: AskedDevice) => planDevices(tier, asked, log);
/** Stands for models that open on some devices only. */
const opening =
  (working: readonly string[]) =>
  (device: string): Promise<{ proof: string }> =>
    working.includes(device)
      ? Promise.resolve({ proof: `18 nodes ran on ${device}` })
      : Promise.reject(new AppError('device_unavailable', `no ${device} here.`));

describe('which devices a worker tries', () => {
  it.each<[LocalTier, AskedDevice, string[], boolean]>([
    ['gpu', 'auto', ['cuda', 'webgpu'], false],
    ['gpu', 'cuda', ['cuda'], true],
    ['gpu', 'webgpu', ['webgpu'], true],
    ['gpu', 'cpu', ['cpu'], false],
    ['cpu', 'auto', ['cpu'], false],
    ['cpu', 'cpu', ['cpu'], true],
    ['cpu', 'webgpu', ['webgpu'], true],
  ])('tier %s, device %s: %j', (tier, asked, devices, mayBeSoftware) => {
    expect(plan(tier, asked)).toMatchObject({ devices, mayBeSoftware });
  });

  it('warns where the CPU stands in for a GPU, and only there', () => {
    const warn = vi.spyOn(log, 'warn');
    plan('cpu', 'cpu');
    plan('gpu', 'webgpu');
    expect(warn).not.toHaveBeenCalled();
    plan('gpu', 'cpu');
    expect(warn).toHaveBeenCalledWith('the CPU stands in for the GPU in a worker of the gpu tier');
    warn.mockRestore();
  });
});

describe('the first device that works', () => {
  it('is taken, and the reason says what was seen there and why not the one before', async () => {
    const { opened, reason } = await openFirst(plan('gpu', 'auto'), opening(['webgpu', 'cpu']));
    expect(opened.proof).toBe('18 nodes ran on webgpu');
    expect(reason).toBe('auto in the gpu tier: 18 nodes ran on webgpu; without cuda: no cuda here.');
  });

  it('is none: the error names each device with its reason, what to do, and the way out', async () => {
    await expect(openFirst(plan('gpu', 'auto'), opening(['cpu']))).rejects.toMatchObject({
      code: 'device_unavailable',
      message: expect.stringMatching(
        /does not fall back.* cuda: no cuda here\. .*CUDA libraries.* webgpu: no webgpu here\. .*EMBEDDING_DEVICE=cpu lets/,
      ) as string,
    });
  });

  it('asked for by name is the only one', async () => {
    await expect(openFirst(plan('cpu', 'cuda'), opening(['webgpu', 'cpu']))).rejects.toMatchObject({
      code: 'device_unavailable',
      message: expect.stringMatching(
        /^EMBEDDING_DEVICE=cuda does not work\. cuda: no cuda here\. /,
      ) as string,
    });
  });

  it('what is not the device’s fault is not tried elsewhere', async () => {
    const damaged = new AppError('model_damaged', 'broken');
    const tried: string[] = [];
    const open = (device: string): Promise<never> => {
      tried.push(device);
      return Promise.reject(damaged);
    };
    await expect(openFirst(plan('gpu', 'auto'), open)).rejects.toBe(damaged);
    expect(tried).toEqual(['cuda']);
  });
});
