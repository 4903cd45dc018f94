import { AppError } from '@embergate/contracts/errors.ts';
import { SCOPES, type Scope } from '@embergate/contracts/routes.ts';
import { Command, Option } from 'commander';
import { createHash, randomBytes } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import type { CliContext } from '../context.ts';
import { print, printJson, table } from '../output.ts';

interface StoredKey {
  name: string;
  sha256: string;
  scopes: Scope[];
}

/** API keys live in API_KEYS_FILE as hashes; a key is shown once, when it is made. */
export function keysCommand(context: CliContext): Command {
  const create = new Command('create')
    .description('make a key; it is shown once')
    .argument('<name>')
    .addOption(new Option('--scopes <scopes...>', 'what it may do').choices([...SCOPES]).default(['search']))
    .option('--json', 'print JSON')
    .action(async (name: string, { scopes, json }: { scopes: Scope[]; json?: boolean }) => {
      const file = keysFile(context);
      const keys = await readKeys(file);
      if (keys.some((key) => key.name === name))
        throw new AppError('usage', `There is a key called "${name}" already.`);
      const key = `eg_${randomBytes(24).toString('base64url')}`;
      const sha256 = createHash('sha256').update(key).digest('hex');
      await writeKeys(file, [...keys, { name, sha256, scopes }]);
      if (json) return printJson({ name, key, scopes });
      print(key);
      // Apart from the key, so that a script can take that from stdout.
      process.stderr.write('This is the only time it is shown. Restart gateways to let it in.\n');
    });
  const list = new Command('list')
    .description('names and scopes')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const keys = (await readKeys(keysFile(context))).map(({ name, scopes }) => ({ name, scopes }));
      if (json) printJson(keys);
      else print(table([['NAME', 'SCOPES'], ...keys.map(({ name, scopes }) => [name, scopes.join(', ')])]));
    });
  const revoke = new Command('revoke')
    .description('remove a key')
    .argument('<name>')
    .action(async (name: string) => {
      const file = keysFile(context);
      const keys = await readKeys(file);
      if (!keys.some((key) => key.name === name))
        throw new AppError('usage', `There is no key called "${name}".`);
      await writeKeys(
        file,
        keys.filter((key) => key.name !== name),
      );
      print(`"${name}" is revoked. Restart gateways to keep it out.`);
    });
  return new Command('keys').description('API keys').addCommand(create).addCommand(list).addCommand(revoke);
}

function keysFile({ config }: CliContext): string {
  if (config.API_KEYS_FILE !== undefined) return config.API_KEYS_FILE;
  throw new AppError('config_invalid', 'API_KEYS_FILE is not set: it names the file that holds the keys.');
}

async function readKeys(file: string): Promise<StoredKey[]> {
  try {
    return (JSON.parse(await readFile(file, 'utf8')) as { keys: StoredKey[] }).keys;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new AppError(
      'config_invalid',
      `API_KEYS_FILE ${file} cannot be read: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

/** Whole or not at all: a gateway that starts meanwhile must not read half a file. */
async function writeKeys(file: string, keys: StoredKey[]): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`;
  await writeFile(temporary, `${JSON.stringify({ keys }, null, 2)}\n`, { mode: 0o600 });
  await rename(temporary, file);
}
