import type { IndexJob } from '@embergate/contracts/index-job.ts';
import type { RowDifferences } from './stored-rows.ts';

/** One kill, and what was embedded after it. */
export interface Struck {
  kind: string;
  /** Texts that may have to be embedded once more because of it. */
  inFlightTexts: number;
  state: IndexJob['state'] | 'unknown';
  /** Chunks that were done, of those there are; as the job said last. */
  progress: string;
  /** Texts that were stored, and so need never be embedded again. */
  stored: number;
  embeddedBefore: number;
}

/** One index run, the kills in it, and what came of it. */
export interface DisturbedRun {
  name: string;
  struck: Struck[];
  state: IndexJob['state'];
  error: IndexJob['error'];
  seconds: number;
  needed: number;
  embedded: number;
  rows: RowDifferences;
  /** Empty: nothing was embedded again that had been stored, and no more than was under way at the kills. */
  embeddedTwice: string[];
  leftPending: number;
}

/** Four jobs of 64 texts, of each kill. */
const ORPHANED_TEXTS = 256;
/** Where more than jobs is lost, it is who waited for them. A job of a killed worker is still waited for: it is among what is not stored. */
const leavesOrphans = ({ inFlightTexts }: Struck): boolean => inFlightTexts > ORPHANED_TEXTS;

/**
 * After a kill there is left to embed what was not stored, and what is lost at later kills. Jobs that nobody waits for any more are
 * computed to their end, which may be after later kills.
 */
export function embeddedTwice(
  struck: readonly Struck[],
  { needed, embedded, embeddedAtStart }: { needed: number; embedded: number; embeddedAtStart: number },
): string[] {
  const lost = (from: number): number =>
    struck.slice(from).reduce((sum, { inFlightTexts }) => sum + inFlightTexts, 0);
  const most = needed + lost(0);
  const total = embedded > most ? [`${embedded} texts were embedded, ${most} at most should be`] : [];
  const after = struck.flatMap(({ kind, stored, embeddedBefore, inFlightTexts }, at) => {
    const later = embeddedAtStart + embedded - embeddedBefore;
    const orphanedEarlier = struck.slice(0, at).filter(leavesOrphans).length * ORPHANED_TEXTS;
    const underWay = Math.min(inFlightTexts, ORPHANED_TEXTS);
    const bound = needed - stored + underWay + orphanedEarlier + lost(at + 1);
    const what = `${later} texts were embedded after the ${kind} was killed, with ${stored} of ${needed} stored`;
    return later > bound ? [what] : [];
  });
  return [...total, ...after];
}

export function describeRun({ name, struck, state, seconds, needed, embedded, rows }: DisturbedRun): string {
  const at = struck.map((one) => `${one.kind} at ${one.progress} (${one.state})`).join(', ');
  const wrong = rows.missing + rows.surplus + rows.twice + rows.changed + rows.wrongVectors;
  return `${name}: ${state} after ${seconds.toFixed(1)} s, ${embedded} embedded of ${needed} needed, ${wrong} of ${rows.rows} rows wrong; killed: ${at || 'nothing'}`;
}
