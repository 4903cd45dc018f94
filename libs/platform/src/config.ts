import type { z } from 'zod';
import { maskPassword } from './mask-password.ts';

/** A setting that stops the start: names the variable, the value and what is allowed. */
export class ConfigError extends Error {
  readonly code = 'config_invalid';
  constructor(message: string) {
    super(message);
    this.name = 'ConfigError';
  }
}

const looksSecret = (name: string): boolean =>
  /KEY|PASSWORD|SECRET|TOKEN/.test(name) && !name.endsWith('_FILE');

const shown = (name: string, value: string | undefined): string => {
  if (value === undefined) return 'not set';
  if (looksSecret(name)) return 'set (not shown)';
  // Connection URLs may carry a password.
  return JSON.stringify(maskPassword(value));
};

/**
 * Reads the settings of one process. Called once, in an app's main.ts; everything else gets values passed in.
 * An empty variable counts as not set, as shells and compose files can't unset one.
 *
 * @throws {ConfigError} naming every wrong variable.
 */
export function loadConfig<Shape extends z.ZodObject>(schema: Shape, env: NodeJS.ProcessEnv): z.infer<Shape> {
  const given: Record<string, string> = {};
  for (const name of Object.keys(schema.shape)) {
    const value = env[name];
    if (value !== undefined && value !== '') given[name] = value;
  }
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const lines = parsed.error.issues.map((issue) => {
    const name = String(issue.path[0] ?? '');
    return `${name} is ${shown(name, given[name])}: ${issue.message}`;
  });
  throw new ConfigError(lines.join('; '));
}
