import type { TierName } from '@embergate/contracts/tiers.ts';
import { shareOf } from '@embergate/routing/breaker.ts';
import { decide, type Admission, type Refusal } from '@embergate/routing/decision.ts';
import { overdueMs, patienceMs } from '@embergate/routing/patience.ts';
import { predictArrivalMs, type TierView } from '@embergate/routing/tier-view.ts';
import { BreakerKeeper } from './breaker-keeper.ts';
import type { OurCluster, Promised } from './our-policy.ts';
import type { Gateway } from './policy.ts';
import { viewOf, type SimJob, type SimTier, type TierSnapshot } from './sim-tier.ts';
import type { Query, World } from './world.ts';

const MOST_RACES = 4;
const NONE: ReadonlySet<TierName> = new Set();

interface Attempt {
  query: Query;
  tier: SimTier;
  job: SimJob;
  promise: Promised;
}

/** A gateway that does what the product's query router does, by the very functions of libs/routing. */
export class OurGateway implements Gateway {
  readonly #world: World;
  readonly #cluster: OurCluster;
  readonly #breakers: BreakerKeeper;
  #known: ReadonlyMap<SimTier, TierSnapshot> = new Map();

  constructor(world: World, cluster: OurCluster, name: string) {
    this.#world = world;
    this.#cluster = cluster;
    this.#breakers = new BreakerKeeper(world, cluster, name);
    const { time, random, scenario } = world;
    this.#look();
    if (scenario.staleMs === 0) return;
    time.after(random.uniform() * scenario.staleMs, () => {
      this.#look();
      time.every(scenario.staleMs, () => this.#look());
    });
  }

  ask(query: Query): void {
    this.#world.demand.record(query.tokens);
    const attempt = this.#begin(query, NONE);
    if (!('kind' in attempt)) return;
    this.#cluster.counts.refused += 1;
    this.#world.settle(query, { kind: 'lexical', reason: attempt.reason, at: this.#world.time.now });
  }

  #look(tiers: readonly SimTier[] = this.#world.tiers): void {
    this.#known = new Map([...this.#known, ...tiers.map((tier) => [tier, tier.snapshot()] as const)]);
  }

  #view(tier: SimTier): TierView {
    const { now } = this.#world.time;
    const share = shareOf(this.#cluster.breaker(tier.name), now);
    return viewOf(tier.name, this.#known.get(tier) ?? tier.snapshot(), { now, share });
  }

  /** Decides on what it knows. Looks again before a query goes elsewhere or away, and after each race that it lost. */
  #begin(query: Query, excluded: ReadonlySet<TierName>): Attempt | Refusal {
    const { time, random, tiers, scenario } = this.#world;
    const remainingMs = query.deadlineAt - time.now;
    const draw = random.uniform();
    const { tokens } = query;
    if (scenario.staleMs === 0) this.#look();
    for (let race = 0; ; race++) {
      const views = tiers.map((tier) => this.#view(tier));
      const decision = decide({ tiers: views, tokens, remainingMs, firstTierOnly: false, excluded, draw });
      if (race === 0 && (decision.kind === 'refuse' || decision.reason !== null)) {
        this.#look();
        continue;
      }
      if (decision.kind === 'refuse') return decision;
      const tier = tiers.find(({ name }) => name === decision.tier);
      const isLost = race >= MOST_RACES || !tier;
      if (isLost) return { kind: 'refuse', reason: `${tiers[0]?.name}_saturated`, retryAfterMs: 1_000 };
      const attempt = this.#reserve(query, tier, { admission: decision, isFailover: excluded !== NONE });
      if (attempt) return attempt;
      this.#cluster.counts.races += 1;
    }
  }

  /** The reservation's reply tells the tier's load at that moment: what is promised is predicted from that. */
  #reserve(
    query: Query,
    tier: SimTier,
    { admission, isFailover }: { admission: Admission; isFailover: boolean },
  ): Attempt | null {
    const { time } = this.#world;
    this.#look([tier]);
    const { aheadTokens } = tier;
    const promise: Promised = {
      query,
      tier: tier.name,
      at: time.now,
      remainingMs: query.deadlineAt - time.now,
      admission,
      predictedMs: predictArrivalMs(this.#view(tier), query.tokens) ?? admission.predictedMs,
      aheadTokens,
      answeredAt: null,
      isFailover,
    };
    const job = this.#world.job(query, tier, {
      onAnswer: () => {
        promise.answeredAt = time.now;
        this.#breakers.note(tier, false);
      },
      onError: () => {
        this.#breakers.note(tier, true);
        if (!isFailover) this.#failOver(attempt);
      },
    });
    const attempt = { query, tier, job, promise };
    if (!tier.reserve(job, admission.maxAheadTokens)) return null;
    this.#cluster.promised.push(promise);
    tier.push(job);
    this.#watch(attempt);
    return attempt;
  }

  /** Until the answer, or the end of patience: then once elsewhere, and the first answer of both counts. */
  #watch(attempt: Attempt): void {
    const { query, tier, job, promise } = attempt;
    const { predictedMs, remainingMs, isFailover } = promise;
    const patience = isFailover
      ? null
      : patienceMs({ predictedMs, remainingMs, elsewhereMs: this.#elsewhereMs(query, tier) });
    this.#world.time.after(patience ?? remainingMs, () => {
      const isSilent = promise.answeredAt === null && job.isWanted;
      if (!isSilent) return;
      if ((patience ?? remainingMs) >= overdueMs(predictedMs)) this.#breakers.note(tier, true);
      if (patience !== null) this.#failOver(attempt);
    });
  }

  #elsewhereMs(query: Query, tier: SimTier): number | null {
    const ways = this.#world.tiers
      .map((one) => this.#view(one))
      .filter(({ name, share, workers }) => (name === tier.name ? workers.length > 1 : share > 0))
      .map((view) => predictArrivalMs(view, query.tokens))
      .filter((ms) => ms !== null);
    return ways.length > 0 ? Math.min(...ways) : null;
  }

  #failOver({ query, tier }: Attempt): void {
    if (query.outcome !== null) return;
    const idle = this.#view(tier).workers.filter(({ busyMs }) => busyMs === 0);
    const excluded: ReadonlySet<TierName> = new Set(idle.length > 1 ? [] : [tier.name]);
    if (!('kind' in this.#begin(query, excluded))) this.#cluster.counts.failovers += 1;
  }
}
