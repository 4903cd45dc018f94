import { Command } from 'commander';
import type { CliContext } from '../context.ts';
import { buildCommand } from './model-build.ts';
import { listCommand } from './model-list.ts';
import { pullCommand } from './model-pull.ts';
import { verifyCommand } from './model-verify.ts';

export function modelCommand(context: CliContext): Command {
  return new Command('model')
    .description('models: the catalog, and builds of others')
    .addCommand(listCommand(context))
    .addCommand(pullCommand(context))
    .addCommand(buildCommand(context))
    .addCommand(verifyCommand(context));
}
