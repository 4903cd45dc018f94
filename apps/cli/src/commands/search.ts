import { AppError } from '@embergate/contracts/errors.ts';
import { SEARCH_MODES, type SearchRequest } from '@embergate/contracts/http-search.ts';
import { Command, InvalidArgumentError, Option } from 'commander';
import { clientOf, withRemoteOptions, type CliContext, type RemoteOptions } from '../context.ts';
import { printJson } from '../output.ts';
import { showSearch } from '../show.ts';

interface SearchOptions extends RemoteOptions {
  collection?: string;
  limit?: number;
  mode?: SearchRequest['mode'];
  repo?: string[];
  language?: string[];
  path?: string;
  deadline?: number;
  rerank?: boolean;
}

export function searchCommand(context: CliContext): Command {
  const command = new Command('search')
    .description('search a collection')
    .argument('<query...>', 'what to look for')
    .option('-c, --collection <name>', 'the collection (default: default)')
    .option('-n, --limit <n>', 'how many results', wholeNumber)
    .addOption(new Option('-m, --mode <mode>', 'how to search').choices([...SEARCH_MODES]))
    .option('--repo <name...>', 'only these repos')
    .option('--language <name...>', 'only these languages')
    .option('--path <glob>', 'only these paths, such as "src/**"')
    .option('--rerank', 'let the deployment’s reranker order the results')
    .option('--deadline <ms>', 'milliseconds to wait for an answer', wholeNumber);
  return withRemoteOptions(command).action(async (words: string[], options: SearchOptions) => {
    const query = words.join(' ');
    if (query.trim() === '') throw new AppError('usage', 'The query is empty.');
    const { repo, language, path } = options;
    const answer = await clientOf(context, options).search(
      {
        query,
        filter: { ...(repo && { repo }), ...(language && { language }), ...(path !== undefined && { path }) },
        ...(options.collection !== undefined && { collection: options.collection }),
        ...(options.limit !== undefined && { limit: options.limit }),
        ...(options.mode !== undefined && { mode: options.mode }),
        ...(options.deadline !== undefined && { deadlineMs: options.deadline }),
        ...(options.rerank && { rerank: true }),
      },
      context.signal,
    );
    if (options.json) printJson(answer);
    else showSearch(answer);
  });
}

function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('A whole number is expected.');
  return Number(text);
}
