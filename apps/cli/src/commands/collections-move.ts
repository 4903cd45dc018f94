import { Command } from 'commander';
import { clientOf, withRemoteOptions, type CliContext, type RemoteOptions } from '../context.ts';
import { followOrTell } from '../follow-job.ts';

interface MoveOptions extends RemoteOptions {
  model: string;
  second?: string;
  detach?: boolean;
}

/** `embergate collections move`: all rows embedded anew beside the old ones, then switched to. */
export function moveCommand(context: CliContext): Command {
  const command = new Command('move')
    .description(
      'move a collection to another model’s space; searches go on in the old one until the new one is complete',
    )
    .argument('<name>', 'the collection')
    .requiredOption('--model <name>', 'the model of its space from then on; one that the gateway serves')
    .option('--second <name>', 'a second model, for queries that no tier of the first one can answer in time')
    .option('-d, --detach', 'do not wait for the end');
  return withRemoteOptions(command).action(async (name: string, options: MoveOptions) => {
    const client = clientOf(context, options);
    const models = [options.model, ...(options.second === undefined ? [] : [options.second])];
    const job = await client.createIndexJob({ source: { type: 'collection', models }, collection: name });
    await followOrTell(client, job, { context, ...options });
  });
}
