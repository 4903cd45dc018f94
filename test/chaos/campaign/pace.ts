/** How long faults last, in milliseconds. */
export interface Pace {
  frozenMs: number;
  redisFrozenMs: number;
  slowMs: number;
  goneMs: number;
  /** Between the recovery from one fault and the next one. */
  calmMs: number;
}

/** What issue and documentation speak of. */
export const FULL_PACE: Pace = {
  frozenMs: 5_000,
  redisFrozenMs: 5_000,
  slowMs: 8_000,
  goneMs: 60_000,
  calmMs: 1_500,
};

/** For every test run: a frozen worker is still missed for three beats, and a tier that is gone is noticed as such. */
export const SHORT_PACE: Pace = {
  frozenMs: 4_000,
  redisFrozenMs: 4_000,
  slowMs: 4_000,
  goneMs: 6_000,
  calmMs: 500,
};
