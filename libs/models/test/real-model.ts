import { homedir } from 'node:os';
import { join } from 'node:path';
import { defaultModelDir, type InstalledModel } from '../src/installed-model.ts';
import { ensureModel } from '../src/prepare.ts';

export const MODEL = 'all-MiniLM-L6-v2';

/** The real model, fetched once for this machine. */
export function realModel(): Promise<InstalledModel> {
  const modelDir =
    process.env['MODEL_DIR'] ?? defaultModelDir({ platform: process.platform, home: homedir() });
  return ensureModel(MODEL, { modelDir });
}

export const referenceFile = join(import.meta.dirname, '..', 'goldens', `${MODEL}.json`);
