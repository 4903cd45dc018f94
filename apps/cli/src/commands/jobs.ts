import { Command } from 'commander';
import { clientOf, withRemoteOptions, type CliContext, type RemoteOptions } from '../context.ts';
import { followJob } from '../follow-job.ts';
import { print, printJson, table } from '../output.ts';

export function jobsCommand(context: CliContext): Command {
  const list = withRemoteOptions(new Command('list').description('index jobs, newest first')).action(
    async (options: RemoteOptions) => {
      const jobs = await clientOf(context, options).indexJobs();
      if (options.json) return printJson(jobs);
      if (jobs.length === 0) return print('There are no index jobs.');
      const rows = jobs.map(({ id, state, collection, repo, progress, createdAt }) => {
        const done = progress.embedded + progress.reused;
        return [id, state, collection, repo, `${done}/${progress.total ?? '?'}`, createdAt];
      });
      print(table([['JOB', 'STATE', 'COLLECTION', 'REPO', 'CHUNKS', 'CREATED'], ...rows]));
    },
  );
  const watch = withRemoteOptions(
    new Command('watch').description('follow a job to its end').argument('<id>'),
  ).action(async (id: string, options: RemoteOptions) => {
    await followJob(clientOf(context, options), id, { context, json: options.json ?? false });
  });
  const cancel = withRemoteOptions(new Command('cancel').description('cancel a job').argument('<id>')).action(
    async (id: string, options: RemoteOptions) => {
      const job = await clientOf(context, options).cancelIndexJob(id);
      if (options.json) printJson(job);
      else print(`${job.id} is being cancelled.`);
    },
  );
  return new Command('jobs')
    .description('index jobs')
    .addCommand(list, { isDefault: true })
    .addCommand(watch)
    .addCommand(cancel);
}
