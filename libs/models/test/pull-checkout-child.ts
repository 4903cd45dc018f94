/** Pulls a model in a process of its own: `node pull-checkout-child.ts '{"name": ..., ...options}'`. Prints the folders. */
import { pullVariants } from '../src/pull.ts';
import type { PullOptions } from '../src/pull-options.ts';

interface Asked extends PullOptions {
  name: string;
  /** Stands still in the middle of the build, for somebody who kills it there. */
  pauseAtBuild?: boolean;
}
const { name, pauseAtBuild, ...options } = JSON.parse(process.argv[2] ?? '') as Asked;
const installed = await pullVariants(name, {
  ...options,
  onBuild: ({ variant, done }) => {
    process.stdout.write(`building ${variant} ${done}\n`);
    if (pauseAtBuild) process.kill(process.pid, 'SIGSTOP');
  },
});
process.stdout.write(installed.map(({ folder }) => `${folder}\n`).join(''));
