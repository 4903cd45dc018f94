import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brotliDecompress } from 'node:zlib';
import { temporaryFolder } from './running-embergate.ts';

/** Why there is no {@link softwareGpu} on this machine; undefined where there is one. */
export const whyNoSoftwareGpu =
  process.platform === 'linux' && process.arch === 'x64'
    ? undefined
    : 'SwiftShader is packed for Linux on x64';

export interface SoftwareGpu {
  /** What a process needs in its environment from its start, so that its WebGPU finds the GPU. */
  env: { LD_LIBRARY_PATH: string; VK_ICD_FILENAMES: string };
  remove: () => Promise<void>;
}

/**
 * A GPU that is a program: SwiftShader, with the loader of Vulkan that it needs, as npm's `@sparticuz/chromium` brings them
 * along. To onnxruntime it is a WebGPU device like any other, only slow; it knows no float16.
 */
export async function softwareGpu(): Promise<SoftwareGpu> {
  const packed = new URL('../bin/swiftshader.tar.br', import.meta.resolve('@sparticuz/chromium'));
  const folder = await temporaryFolder('swiftshader');
  const archive = join(folder.path, 'swiftshader.tar');
  await writeFile(archive, await promisify(brotliDecompress)(await readFile(packed)));
  await promisify(execFile)('tar', ['-xf', archive, '-C', folder.path]);
  const VK_ICD_FILENAMES = join(folder.path, 'vk_swiftshader_icd.json');
  return { env: { LD_LIBRARY_PATH: folder.path, VK_ICD_FILENAMES }, remove: folder.remove };
}
