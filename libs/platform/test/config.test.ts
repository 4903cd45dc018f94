import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ConfigError, loadConfig } from '../src/config.ts';

const schema = z.object({
  PORT: z
    .string()
    .refine((text) => /^\d+$/.test(text), { error: 'must be a whole number' })
    .transform(Number)
    .default(8080),
  API_KEY: z.string().min(20, 'must have 20 characters').optional(),
  REDIS_URL: z.string().startsWith('redis:', { error: 'must start with redis://' }).optional(),
});

const failure = (env: NodeJS.ProcessEnv): string => {
  try {
    loadConfig(schema, env);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message;
  }
  throw new Error('it was accepted');
};

describe('settings', () => {
  it('takes defaults for what is not set, or set to nothing', () => {
    expect(loadConfig(schema, { OTHER: 'x' })).toEqual({ PORT: 8080 });
    expect(loadConfig(schema, { PORT: '' })).toEqual({ PORT: 8080 });
  });

  it('names every wrong variable, its value and what is allowed', () => {
    const message = failure({ PORT: 'many', REDIS_URL: 'http://x' });
    expect(message).toContain('PORT is "many": must be a whole number');
    expect(message).toContain('REDIS_URL is "http://x": must start with redis://');
  });

  it('shows no secret, also not the password within a URL', () => {
    expect(failure({ API_KEY: 'hunter2' })).not.toContain('hunter2');
    expect(failure({ REDIS_URL: 'http://user:hunter2@host' })).not.toContain('hunter2');
  });
});
