import { AppError } from '@embergate/contracts/errors.ts';
import { Command } from 'commander';
import { pathToFileURL } from 'node:url';
import type { CliContext } from '../context.ts';
import { APP_MAINS, type AppName } from '../up/app-mains.ts';

const DESCRIPTIONS: Record<AppName, string> = {
  gateway: 'one gateway of a cluster, configured by the environment',
  worker: 'one worker of a cluster, configured by the environment',
  indexer: 'one indexer of a cluster, configured by the environment',
};

/**
 * `embergate gateway`, `worker`, `indexer`: one process each, what the images run. This process becomes the app, and ends
 * by the app's own rules: a child would cost 120 MB more, and would have to be told of every signal.
 */
export function processCommands(context: CliContext): Command[] {
  return (Object.keys(APP_MAINS) as AppName[]).map((name) =>
    new Command(name).description(DESCRIPTIONS[name]).action(async () => {
      if (context.config.REDIS_URL === undefined) {
        throw new AppError(
          'config_invalid',
          `REDIS_URL is not set: ${name} is one process of a cluster and needs it. \`embergate up\` runs everything on one machine.`,
        );
      }
      await import(pathToFileURL(APP_MAINS[name]).href);
      // What failed at start has said why, and set this.
      if (typeof process.exitCode === 'number') context.setExitCode(process.exitCode);
    }),
  );
}
