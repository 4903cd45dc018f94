// `npm run bench:paired-evals -- one.json other.json`: the nDCG@10 of one evaluation less that of another, question by question on the same
// questions, with 95% intervals, for what no request can say: the size of chunks, or another model. Both files are of
// `npx embergate eval ... --json --details`, of the same source, --seed and --limit.
import { bootstrapMean } from '@embergate/retrieval/bootstrap.ts';
import { readFile } from 'node:fs/promises';

interface Evaluation {
  seed: number;
  configurations: { name: string }[];
  details: { query: string; scores: { ndcg: number }[] }[];
}

const [one, other] = await Promise.all(process.argv.slice(2, 4).map(readEvaluation));
if (!one || !other) throw new Error('Two files of `embergate eval --json --details` are needed.');
const asked = ({ details }: Evaluation): string => JSON.stringify(details.map(({ query }) => query));
if (asked(one) !== asked(other)) throw new Error('The two evaluations asked different questions.');

for (const [at, { name }] of one.configurations.entries()) {
  if (other.configurations[at]?.name !== name) throw new Error(`${name} was not asked of both.`);
  const ndcgOf = ({ details }: Evaluation): number[] => details.map(({ scores }) => scores[at]?.ndcg ?? 0);
  const others = ndcgOf(other);
  const differences = ndcgOf(one).map((value, index) => value - (others[index] ?? 0));
  const { mean, low, high } = bootstrapMean(differences, { seed: one.seed });
  console.log(`${name.padEnd(8)} ${signed(mean)} (${signed(low)} to ${signed(high)})`);
}

async function readEvaluation(path: string): Promise<Evaluation> {
  return JSON.parse(await readFile(path, 'utf8')) as Evaluation;
}

function signed(value: number): string {
  return `${value < 0 ? '-' : '+'}${Math.abs(value).toFixed(3)}`;
}
