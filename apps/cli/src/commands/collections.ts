import { Command } from 'commander';
import { clientOf, withRemoteOptions, type CliContext, type RemoteOptions } from '../context.ts';
import { print, printJson, printUnreadable, table } from '../output.ts';
import { adoptCommand } from './collections-adopt.ts';
import { moveCommand } from './collections-move.ts';

export function collectionsCommand(context: CliContext): Command {
  const list = withRemoteOptions(new Command('list').description('collections with their spaces')).action(
    async (options: RemoteOptions) => {
      const { data: collections, unreadable } = await clientOf(context, options).collections();
      printUnreadable(unreadable);
      if (options.json) return printJson(collections);
      if (collections.length === 0) return print('There are no collections.');
      const rows = collections.map(({ name, spaceId, secondSpaceId, chunks, repos }) => [
        name,
        secondSpaceId === null ? spaceId : `${spaceId}, then ${secondSpaceId}`,
        String(chunks),
        String(repos.length),
      ]);
      print(table([['COLLECTION', 'SPACE', 'CHUNKS', 'REPOS'], ...rows]));
    },
  );
  return new Command('collections')
    .description('collections, and what is done with a whole one')
    .addCommand(list, { isDefault: true })
    .addCommand(adoptCommand(context))
    .addCommand(moveCommand(context));
}
