import type { FindOptions, InstalledModel } from '@embergate/models/installed-model.ts';
import { ensureModel } from '@embergate/models/prepare.ts';
import { findOptionsOf, pullOptionsOf, type CliContext } from './context.ts';
import { pullView } from './pull-view.ts';

/** A model of `up`, fetched and built where it has to be, with its progress on stderr. */
export async function fetchModel(
  name: string,
  context: CliContext,
  options: FindOptions = findOptionsOf(context),
): Promise<InstalledModel> {
  const view = pullView(name);
  try {
    return await ensureModel(name, { ...pullOptionsOf(context), ...options, ...view });
  } finally {
    view.end();
  }
}
