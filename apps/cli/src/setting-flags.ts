import { AppError } from '@embergate/contracts/errors.ts';

/**
 * Takes settings out of a command line: `--gateway-port 9000` or `--gateway-port=9000` means GATEWAY_PORT=9000, and wins
 * over the environment. What is no setting stays for the command.
 *
 * @param names settings, as they are called in the environment.
 * @throws AppError `usage` for a setting without a value.
 */
export function takeSettingFlags(
  argv: readonly string[],
  names: readonly string[],
): { argv: string[]; settings: Record<string, string> } {
  const byFlag = new Map(names.map((name) => [`--${name.toLowerCase().replaceAll('_', '-')}`, name]));
  const rest: string[] = [];
  const settings: Record<string, string> = {};
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? '';
    // What comes after `--` belongs to the command, whatever it looks like.
    if (word === '--') return { argv: [...rest, ...argv.slice(at)], settings };
    const [flag = '', ...inline] = word.split('=');
    const name = byFlag.get(flag);
    if (name === undefined) {
      rest.push(word);
      continue;
    }
    const value = inline.length > 0 ? inline.join('=') : argv[++at];
    if (value === undefined) throw new AppError('usage', `${flag} needs a value.`);
    settings[name] = value;
  }
  return { argv: rest, settings };
}
