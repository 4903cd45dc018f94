import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/**
 * Why onnxruntime's CUDA library cannot be loaded; onnxruntime itself says only that it can't. It is the library itself that is
 * missing, or the first one of NVIDIA's that it needs.
 *
 * @returns undefined where it can be loaded.
 */
export function whyNoCudaLibrary(): string | undefined {
  const main = createRequire(import.meta.url).resolve('onnxruntime-node');
  const folder = join(dirname(main), '..', 'bin', 'napi-v6', process.platform, process.arch);
  try {
    process.dlopen({ exports: {} }, join(folder, 'libonnxruntime_providers_cuda.so'));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // It is no add-on of Node's: that this is all that Node finds fault with means that it was loaded.
    return /self-register|undefined symbol/.test(message) ? undefined : message;
  }
  return undefined;
}
