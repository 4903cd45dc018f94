import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

/** Files of this process and its children end at one block: a write beyond takes what fits, and only the next one is refused. */
const LIMITED = 'ulimit -f 1 && exec "$0" --input-type=module --eval "$1" "$2"';
const PULL = `
  import { createHash } from 'node:crypto';
  import { PartialFile } from ${JSON.stringify(join(import.meta.dirname, '../src/partial-file.ts'))};
  const content = Buffer.alloc(1_500, 'x');
  const sha256 = createHash('sha256').update(content).digest('hex');
  const partial = await PartialFile.open(process.argv[1], { path: 'file', bytes: content.length, sha256 });
  try {
    await partial.append(content);
    await partial.commit();
    console.log('committed');
  } catch (error) {
    console.log(error.code);
  }
  await partial.close({ keep: false });
`;

it.skipIf(process.platform === 'win32')(
  'a file of which the disk took only a part is refused, and not put under its name',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'embergate-partial-'));
    try {
      const { stdout } = await promisify(execFile)('sh', ['-c', LIMITED, process.execPath, PULL, folder]);
      expect(stdout.trim()).toBe('storage_full');
      expect(await readdir(folder)).toEqual([]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
);
