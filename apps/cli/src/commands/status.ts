import { AppError, toAppError } from '@embergate/contracts/errors.ts';
import type { Cluster, CollectionList } from '@embergate/contracts/http-cluster.ts';
import { Command } from 'commander';
import pc from 'picocolors';
import { clientOf, withRemoteOptions, type CliContext, type RemoteOptions } from '../context.ts';
import { EXIT, print, printError, printJson, printUnreadable, table } from '../output.ts';

const TIER_COLUMNS = [
  'TIER',
  'STATE',
  'BREAKER',
  'WORKERS',
  'NEEDED',
  'BACKLOG',
  'DEVICES',
  'ALIGNMENT',
  'TYPICAL QUERY',
  'TOKENS/S',
];

const tierRow = (tier: Cluster['tiers'][number]): string[] => [
  tier.name,
  tier.state,
  tier.breaker.replace('_', ' '),
  String(tier.workers),
  String(tier.requiredWorkers),
  `${tier.backlogTokens} tokens`,
  tier.devices.join(', ') || '-',
  tier.alignment === null ? '-' : tier.alignment.toFixed(4),
  tier.predictedMs === null ? '-' : `${tier.predictedMs.toFixed(1)} ms`,
  String(Math.round(tier.tokensPerSecond)),
];

function printTiers(tiers: Cluster['tiers']): void {
  print(table([TIER_COLUMNS, ...tiers.map(tierRow)]));
  for (const { name, deviceReasons } of tiers)
    for (const reason of deviceReasons) print(pc.dim(`${name}: ${reason}`));
  print('');
}

export function statusCommand(context: CliContext): Command {
  return withRemoteOptions(new Command('status').description('tiers, collections and readiness')).action(
    async (options: RemoteOptions) => {
      const client = clientOf(context, options);
      // The tiers are worth showing while the store is away.
      const [readiness, cluster, list] = await Promise.all([
        client.readiness(),
        client.cluster(),
        client.collections().catch(toAppError),
      ]);
      const isWhole = readiness.status === 'ok' && !(list instanceof AppError);
      if (!isWhole) context.setExitCode(EXIT.failed);
      if (options.json) return printJson({ url: client.url, readiness, cluster, ...collectionsJson(list) });

      const state = readiness.status === 'ok' ? pc.green('ready') : pc.red('not ready');
      print(`${client.url} is ${state}; store ${cluster.store}, space ${cluster.space}`);
      for (const [name, check] of Object.entries(readiness.checks))
        if (check !== 'ok') print(pc.red(`  ${name}: ${check}`));
      print('');
      printTiers(cluster.tiers);
      for (const { space, tiers } of cluster.otherSpaces) {
        print(`space ${space}`);
        printTiers(tiers);
      }
      if (list instanceof AppError) printError(list);
      else printCollections(list);
    },
  );
}

const collectionsJson = (list: CollectionList | AppError): object =>
  list instanceof AppError
    ? { collections: null, error: { code: list.code, message: list.message } }
    : { collections: list.data, unreadable: list.unreadable };

function printCollections({ data: collections, unreadable }: CollectionList): void {
  printUnreadable(unreadable);
  if (collections.length === 0) return print('No collection yet: `embergate index DIR` makes one.');
  const rows = collections.flatMap(({ name, repos, sizeBytes }) =>
    repos.map((repo) => [
      name,
      repo.name,
      repo.embedded < repo.chunks ? `${repo.chunks} (${repo.embedded} embedded)` : String(repo.chunks),
      repo.commit?.slice(0, 12) ?? '-',
      repo.lastRunAt ?? '-',
      sizeBytes === null ? '-' : `${(sizeBytes / 1e6).toFixed(1)} MB`,
    ]),
  );
  print(table([['COLLECTION', 'REPO', 'CHUNKS', 'COMMIT', 'INDEXED', 'COLLECTION SIZE'], ...rows]));
}
