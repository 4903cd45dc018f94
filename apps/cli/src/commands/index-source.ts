import { AppError } from '@embergate/contracts/errors.ts';
import type { RequestedSource } from '@embergate/contracts/index-job.ts';
import { TIER_NAMES, tierNameSchema, type TierName } from '@embergate/contracts/tiers.ts';
import { Command } from 'commander';
import { stat } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import { clientOf, withRemoteOptions, type CliContext, type RemoteOptions } from '../context.ts';
import { followOrTell } from '../follow-job.ts';

interface IndexOptions extends RemoteOptions {
  collection?: string;
  repo?: string;
  ref?: string;
  full?: boolean;
  model?: string;
  tiers?: string;
  estimate?: boolean;
  detach?: boolean;
}

export function indexCommand(context: CliContext): Command {
  const command = new Command('index')
    .description('index a folder or a git repository')
    .argument('<source>', 'a folder of the gateway’s machine, or a git URL')
    .option('-c, --collection <name>', 'the collection (default: default)')
    .option('--repo <name>', 'what to call it (default: the last part of the source)')
    .option('--ref <ref>', 'branch or tag of a git URL')
    .option('--full', 'embed everything anew')
    .option('--model <name>', 'which model a new collection is embedded by (default: EMBEDDING_MODEL)')
    .option('--tiers <names>', 'embed on these tiers only, and wait for their workers: gpu, or gpu,cpu')
    .option('--estimate', 'only say what it would cost: chunks, reuse, tokens, time')
    .option('-d, --detach', 'do not wait for the end');
  return withRemoteOptions(command).action(async (text: string, options: IndexOptions) => {
    const client = clientOf(context, options);
    const job = await client.createIndexJob({
      source: await sourceOf(text, client.url, options.ref),
      mode: options.full ? 'full' : 'incremental',
      ...(options.tiers !== undefined && { tiers: tiersOf(options.tiers) }),
      ...(options.estimate && { estimateOnly: true }),
      ...(options.collection !== undefined && { collection: options.collection }),
      ...(options.repo !== undefined && { repo: options.repo }),
      ...(options.model !== undefined && { model: options.model }),
    });
    await followOrTell(client, job, { context, ...options });
  });
}

function tiersOf(text: string): TierName[] {
  return text.split(',').map((name) => {
    const tier = tierNameSchema.safeParse(name.trim());
    if (tier.success) return tier.data;
    throw new AppError('usage', `--tiers: ${name.trim()} is no tier; there are ${TIER_NAMES.join(', ')}.`);
  });
}

/** A URL is a git source, everything else a folder of the machine that the gateway runs on. */
async function sourceOf(text: string, gatewayUrl: string, ref: string | undefined): Promise<RequestedSource> {
  const isUrl = /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
  const scpForm = /^([\w.-]+@[\w.-]+):(.+)$/.exec(text);
  if (isUrl || scpForm) {
    const url = scpForm && !isUrl ? `ssh://${scpForm[1]}/${scpForm[2]}` : text;
    return { type: 'git', url, ...(ref !== undefined && { ref }) };
  }
  if (ref !== undefined) throw new AppError('usage', '--ref needs a git URL.');
  if (isAbsolute(text) && !isHere(gatewayUrl)) return { type: 'directory', path: text };
  const path = resolve(text);
  const found = await stat(path).catch(() => null);
  if (!found?.isDirectory()) {
    throw new AppError(
      'source_not_found',
      `There is no folder ${path} on this machine. A folder of another machine's gateway is named by its whole path; a git URL is read by the gateway itself.`,
    );
  }
  return { type: 'directory', path };
}

/** On loopback its folders are taken for those of this machine. Elsewhere only the gateway knows what is there. */
const isHere = (gatewayUrl: string): boolean =>
  /^(localhost|127(\.\d+){3}|\[::1\])$/.test(URL.parse(gatewayUrl)?.hostname ?? '');
