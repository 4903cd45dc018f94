import { ensureModel } from '@embergate/models/prepare.ts';
import { pullModel, type PullOptions } from '@embergate/models/pull.ts';
import type { InstalledModel } from '@embergate/models/installed-model.ts';
import cliProgress from 'cli-progress';

interface FetchOptions {
  modelDir: string;
  signal: AbortSignal;
  /** Checks every file again, and fetches what is damaged. */
  repair?: boolean;
}

/** The model, fetched and built where it has to be, with a progress bar on a terminal. */
export async function fetchModel(
  name: string,
  { modelDir, signal, repair = false }: FetchOptions,
): Promise<InstalledModel> {
  const stream = process.stderr;
  const bar = new cliProgress.SingleBar(
    { stream, format: '{file} [{bar}] {percentage}% of {megabytes} MB from {source}', hideCursor: true },
    cliProgress.Presets.shades_classic,
  );
  let current = '';
  const options: PullOptions = {
    modelDir,
    signal,
    onProgress: ({ file, source, bytes, totalBytes }) => {
      const payload = { file, source, megabytes: (totalBytes / 1e6).toFixed(1) };
      if (current !== file) {
        if (!stream.isTTY)
          stream.write(`Fetching ${file} (${payload.megabytes} MB) of ${name} from ${source} ...\n`);
        else if (current === '') bar.start(totalBytes, bytes, payload);
        current = file;
      }
      if (stream.isTTY) {
        bar.setTotal(totalBytes);
        bar.update(bytes, payload);
      }
    },
  };
  try {
    return await (repair ? pullModel(name, options) : ensureModel(name, options));
  } finally {
    if (stream.isTTY && current !== '') bar.stop();
  }
}
