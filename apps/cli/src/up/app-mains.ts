import { fileURLToPath } from 'node:url';

const mainOf = (app: string): string =>
  fileURLToPath(new URL(`../../../${app}/src/main.ts`, import.meta.url));

/** Apps don't import each other; the command line starts them as processes of their own. */
export const APP_MAINS = {
  worker: mainOf('worker'),
  gateway: mainOf('gateway'),
  indexer: mainOf('indexer'),
} as const;
export type AppName = keyof typeof APP_MAINS;
