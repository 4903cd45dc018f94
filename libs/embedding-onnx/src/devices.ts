/** Where a model can run. */
export type Device = 'cpu' | 'cuda' | 'webgpu';

/** What onnxruntime calls what computes there. */
export const PROVIDERS: Record<Device, string> = {
  cpu: 'CPUExecutionProvider',
  cuda: 'CUDAExecutionProvider',
  webgpu: 'WebGpuExecutionProvider',
};
