import { execFile } from 'node:child_process';
import { cp } from 'node:fs/promises';
import { basename } from 'node:path';
import { promisify } from 'node:util';

const LEFT_OUT = new Set(['test', 'tests', 'site-packages', '__pycache__', 'idle_test']);

/** Copies the sources of Python's standard library, without tests and site-packages, into `target`. */
export async function copyStandardLibrary(target: string): Promise<string> {
  const script =
    'import sysconfig, platform; print(sysconfig.get_paths()["stdlib"]); print(platform.python_version())';
  const { stdout } = await promisify(execFile)('python3', ['-c', script]);
  const [folder = '', version = ''] = stdout.trim().split('\n');
  await cp(folder, target, {
    recursive: true,
    filter: (path) => !LEFT_OUT.has(basename(path)) && !/\.(so|a|o|pyc|exe|dll)$/.test(path),
  });
  return version;
}
