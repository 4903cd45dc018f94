import { describe, expect, it } from 'vitest';
import { describeProof, proveNodes, type ProfileEvent } from '../src/node-proof.ts';

const WEBGPU = 'WebGpuExecutionProvider';
const CPU = 'CPUExecutionProvider';
const ran = (op_name: string, provider: string, index = 0): ProfileEvent => ({
  cat: 'Node',
  name: `${op_name}_${index}_kernel_time`,
  args: { op_name, provider },
});

describe('where the nodes of a model ran, by the profile of a run', () => {
  it('counts the nodes with matrix work on the device, once however often they ran, and names what else the CPU did', () => {
    const proof = proveNodes(
      [
        { cat: 'Session', name: 'model_run' },
        ran('Shape', CPU),
        ran('Gather', CPU),
        ran('MatMulNBits', WEBGPU, 1),
        ran('MatMulNBits', WEBGPU, 1),
        ran('GroupQueryAttention', WEBGPU, 2),
        ran('Cast', WEBGPU, 3),
        // What WebGPU itself says of its kernels names no provider.
        { cat: 'Api', name: 'MatMul_1&MatMul', args: {} },
      ],
      'webgpu',
    );
    expect(proof).toEqual({ device: 'webgpu', matrixNodes: 2, onCpu: ['Gather', 'Shape'] });
    expect(describeProof(proof)).toBe('2 nodes with matrix work ran on webgpu, Gather, Shape on the CPU');
  });

  it.each(['MatMul', 'Gemm', 'FusedMatMul', 'MatMulNBits', 'MatMulInteger', 'GroupQueryAttention', 'Einsum'])(
    'refuses a %s that ran on the CPU among others that did not, by its name',
    (type) => {
      const events = [ran('MatMul', WEBGPU, 1), ran(type, CPU, 2), ran('Shape', CPU, 3)];
      expect(() => proveNodes(events, 'webgpu')).toThrow(
        expect.objectContaining({
          code: 'device_unavailable',
          message: `webgpu does not compute this model: ${type} ran elsewhere.`,
        }) as Error,
      );
    },
  );

  it('refuses one GPU that computes for another', () => {
    expect(() => proveNodes([ran('Gemm', WEBGPU)], 'cuda')).toThrow('cuda does not compute this model: Gemm');
  });

  it('takes a profile without matrix work for no proof', () => {
    expect(() => proveNodes([ran('Cast', WEBGPU), ran('ConvertSomething', CPU)], 'webgpu')).toThrow(
      'No node of this model was seen to do matrix work on webgpu',
    );
  });
});
