import { readdir, readlink } from 'node:fs/promises';

/** What a driver of a real GPU keeps open: Direct Rendering nodes, NVIDIA's and AMD's own, Windows' GPU inside WSL. */
const GPU_FILES = /^\/dev\/(dri\/|nvidia|kfd|dxg)/;
const OPEN_FILES = '/proc/self/fd';

/**
 * Whether the WebGPU that this process uses is a program on the CPU (SwiftShader, llvmpipe), which is slower than the CPU
 * itself. onnxruntime does not say which adapter it got; but nobody computes on a GPU without its device file.
 *
 * @returns undefined where it can't be told: on systems other than Linux.
 */
export async function isSoftwareAdapter(platform = process.platform): Promise<boolean | undefined> {
  if (platform !== 'linux') return undefined;
  const open = await readdir(OPEN_FILES);
  // The folder itself was open while it was read, and is gone now.
  const targets = await Promise.all(open.map((fd) => readlink(`${OPEN_FILES}/${fd}`).catch(() => '')));
  return !targets.some((target) => GPU_FILES.test(target));
}
