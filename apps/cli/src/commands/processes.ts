import { AppError } from '@embergate/contracts/errors.ts';
import { Command } from 'commander';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { CliContext } from '../context.ts';
import { APP_MAINS, type AppName } from '../up/app-mains.ts';
import { EXIT } from '../output.ts';

const DESCRIPTIONS: Record<AppName, string> = {
  gateway: 'one gateway of a cluster, configured by the environment',
  worker: 'one worker of a cluster, configured by the environment',
  indexer: 'one indexer of a cluster, configured by the environment',
};

/** `embergate gateway`, `worker`, `indexer`: one process each, what the images run. */
export function processCommands(context: CliContext): Command[] {
  return (Object.keys(APP_MAINS) as AppName[]).map((name) =>
    new Command(name).description(DESCRIPTIONS[name]).action(async () => {
      if (context.config.REDIS_URL === undefined) {
        throw new AppError('config_invalid', `REDIS_URL is not set: ${name} is one process of a cluster and needs it. \`embergate up\` runs everything on one machine.`);
      }
      const child = spawn(process.execPath, [APP_MAINS[name]], {
        stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
        env: context.env,
        detached: true,
      });
      context.signal.addEventListener('abort', () => child.kill('SIGTERM'));
      const [code] = (await once(child, 'exit')) as [number | null];
      context.setExitCode(context.signal.aborted ? EXIT.done : (code ?? EXIT.failed));
    }),
  );
}
