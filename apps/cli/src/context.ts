import { EmbergateClient } from '@embergate/client/client.ts';
import {
  gatewaySettings,
  indexerSettings,
  modelSettings,
  redisSettings,
  rerankSettings,
  storeSettings,
  workerSettings,
} from '@embergate/contracts/settings.ts';
import { defaultModelDir, type FindOptions } from '@embergate/models/installed-model.ts';
import type { PullOptions } from '@embergate/models/pull-options.ts';
import { Option, type Command } from 'commander';
import { z } from 'zod';

/** What the command line itself reads; the processes it starts read their own. */
export const cliSettings = z.object({
  ...storeSettings,
  ...modelSettings,
  ...gatewaySettings,
  ...indexerSettings,
  ...rerankSettings,
  EMBEDDING_DEVICE: workerSettings.EMBEDDING_DEVICE,
  REDIS_URL: redisSettings.REDIS_URL.optional(),
  EMBERGATE_SOURCE: z.string().optional(),
  EMBERGATE_URL: z.string().optional(),
  EMBERGATE_API_KEY: z.string().optional(),
  PATH: z.string().optional(),
});

export interface CliContext {
  config: z.infer<typeof cliSettings>;
  /** Passed on to the processes that a command starts. */
  env: NodeJS.ProcessEnv;
  home: string;
  /** Aborts on Ctrl-C. */
  signal: AbortSignal;
  setExitCode: (code: number) => void;
}

export interface RemoteOptions {
  url?: string;
  apiKey?: string;
  json?: boolean;
}

/** --url, --api-key and --json, as all commands that talk to a gateway have them. */
export function withRemoteOptions(command: Command): Command {
  return command
    .addOption(new Option('--url <url>', 'the gateway (default: EMBERGATE_URL, or the one on this machine)'))
    .addOption(new Option('--api-key <key>', 'an API key (default: EMBERGATE_API_KEY)'))
    .option('--json', 'print JSON');
}

export function clientOf({ config }: CliContext, { url, apiKey }: RemoteOptions): EmbergateClient {
  return new EmbergateClient({
    url: url ?? config.EMBERGATE_URL ?? `http://127.0.0.1:${config.GATEWAY_PORT}`,
    apiKey: apiKey ?? config.EMBERGATE_API_KEY,
  });
}

export const modelDirOf = ({ config, home }: CliContext): string =>
  config.MODEL_DIR ?? defaultModelDir({ home, platform: process.platform });

/** Where models are looked for. */
export const findOptionsOf = (context: CliContext): FindOptions => ({
  modelDir: modelDirOf(context),
  catalogFile: context.config.MODEL_CATALOG,
  variant: context.config.EMBEDDING_VARIANT,
  dimensions: context.config.EMBEDDING_DIMENSIONS,
});

/** Where they are fetched from. */
export const pullOptionsOf = (context: CliContext): PullOptions => ({
  modelDir: modelDirOf(context),
  catalogFile: context.config.MODEL_CATALOG,
  hubUrl: context.config.MODEL_HUB_URL,
  mirrorUrl: context.config.MODEL_MIRROR_URL,
  signal: context.signal,
});
