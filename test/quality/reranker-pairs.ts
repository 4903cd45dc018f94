/**
 * Writes what a reranker is trained on: functions asked for by the first sentence of their description, as `embergate eval` asks for them,
 * each with the chunk that is right and with others of the same code that are not.
 *
 *     node test/quality/reranker-pairs.ts --out pairs.jsonl [--questions 400] [--without FOLDER]... FOLDER...
 *
 * In: folders of code, one a package. Of each as many questions as `--questions` says at most, from whole files in an order that is the same
 * on every machine; those files are the haystack. `--without` names folders that a model will be measured on: sentences that are asked of
 * them are left out here, and so are folders of other people's code.
 *
 * Out: one question a line, {@link TrainingQuestion} as JSON.
 */
import { readCorpus, sampleCorpus, type CorpusFile } from '../../apps/cli/src/eval/corpus.ts';
import { wordsOf } from '../../apps/cli/src/eval/question.ts';
import { chunkCharsFor } from '@embergate/ingestion/chunk-size.ts';
import { createChunker, type Chunker } from '@embergate/ingestion/chunk.ts';
import type { Judgement } from '@embergate/retrieval/judge.ts';
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { parseArgs } from 'node:util';

interface TrainingQuestion {
  query: string;
  package: string;
  /** Of the code: `python`, `go`, ... */
  language: string;
  /** The right one first, then up to 23 that are not: nearest by words, of the same file, of its folder, of anywhere. */
  passages: string[];
  /** How near each is by words (BM25 within the package). */
  bm25: number[];
}

interface Passage {
  path: string;
  text: string;
  language: string;
  /** 1-based, included. */
  startLine: number;
  endLine: number;
}

/** What all-MiniLM-L6-v2 reads, in tokens: passages are cut as the index of the default model cuts them. */
const MODEL_TOKENS = 256;
const SEED = 1;
const WRONG = { nearest: 10, sameFile: 5, sameFolder: 4, anywhere: 4 };
const FEWEST_WRONG = 8;
const OTHERS_CODE =
  /(?:^|\/)(?:_?vendor(?:ed)?|extern(?:al)?s?|third_?party|forked|go_templates|packages|deps|compat)\//i;

/** Okapi BM25 (Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009) with its usual k1 and b. */
class WordIndex {
  readonly #k1 = 1.2;
  readonly #b = 0.75;
  /** By word: how often each passage, by its number, has it. */
  readonly #postings = new Map<string, Map<number, number>>();
  readonly #lengths: number[];
  readonly #meanLength: number;

  constructor(texts: readonly string[]) {
    this.#lengths = texts.map((text, at) => {
      const words = partsOf(text);
      for (const word of words) {
        const posting = this.#postings.get(word) ?? new Map<number, number>();
        this.#postings.set(word, posting.set(at, (posting.get(at) ?? 0) + 1));
      }
      return words.length;
    });
    this.#meanLength = this.#lengths.reduce((sum, length) => sum + length, 0) / texts.length;
  }

  /** One number a passage; 0 where no word of the query is in it. */
  scores(query: string): Float64Array {
    const scores = new Float64Array(this.#lengths.length);
    for (const word of new Set(partsOf(query))) {
      const posting = this.#postings.get(word) ?? new Map<number, number>();
      const rarity = Math.log(1 + (scores.length - posting.size + 0.5) / (posting.size + 0.5));
      for (const [at, times] of posting) {
        const length = (this.#lengths[at] ?? 0) / this.#meanLength;
        const weight = (times * (this.#k1 + 1)) / (times + this.#k1 * (1 - this.#b + this.#b * length));
        scores[at] = (scores[at] ?? 0) + rarity * weight;
      }
    }
    return scores;
  }
}

/** Words of a text, and the parts of its names: `readHTTPFile` and `read_file` have `read` and `file`. */
const partsOf = (text: string): string[] =>
  text.match(/[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+/g)?.map((part) => part.toLowerCase()) ?? [];

/** Always the same for a key, and in no order. */
const draw = (...key: unknown[]): string =>
  createHash('sha256')
    .update(`${SEED}:${key.join(':')}`)
    .digest('hex');
const shuffled = (numbers: number[], key: string): number[] =>
  numbers
    .map((at) => ({ at, drawn: draw(key, at) }))
    .sort((one, other) => (one.drawn < other.drawn ? -1 : 1))
    .map(({ at }) => at);

async function passagesOf(files: readonly CorpusFile[], chunker: Chunker): Promise<Passage[]> {
  const passages: Passage[] = [];
  for (const { path, text } of files)
    for (const chunk of await chunker.chunk({ path, text })) passages.push({ path, ...chunk });
  return passages;
}

function sharedLines({ path, startLine, endLine }: Passage, asked: Judgement): number {
  if (path !== asked.path) return 0;
  const [first, last] = [asked.startLine ?? 1, asked.endLine ?? Infinity];
  return Math.min(endLine, last) - Math.max(startLine, first) + 1;
}

/** The passage with most lines of what is asked for. */
function rightOf(passages: readonly Passage[], asked: Judgement): number | undefined {
  const shared = passages.map((passage) => sharedLines(passage, asked));
  const most = Math.max(...shared);
  return most > 0 ? shared.indexOf(most) : undefined;
}

interface Search {
  query: string;
  asked: Judgement;
  right: Passage;
  passages: readonly Passage[];
  scores: Float64Array;
}

/** Numbers of passages that answer nothing: none with a line of what is asked for, none with the same text. */
function wrongOf({ query, asked, right, passages, scores }: Search): number[] {
  const others = [...passages.keys()].filter((at) => {
    const passage = passages[at];
    return passage && passage.text !== right.text && sharedLines(passage, asked) <= 0;
  });
  const mixed = shuffled(others, query);
  const folder = dirname(right.path);
  const chosen = new Set<number>();
  const choose = (from: number[], count: number): void =>
    from
      .filter((at) => !chosen.has(at))
      .slice(0, count)
      .forEach((at) => chosen.add(at));
  choose(
    others.toSorted((one, other) => (scores[other] ?? 0) - (scores[one] ?? 0)),
    WRONG.nearest,
  );
  choose(
    mixed.filter((at) => passages[at]?.path === right.path),
    WRONG.sameFile,
  );
  choose(
    mixed.filter((at) => dirname(passages[at]?.path ?? '') === folder),
    WRONG.sameFolder,
  );
  choose(mixed, WRONG.anywhere);
  return [...chosen];
}

const sentence = (query: string): string => wordsOf(query).join(' ');

async function questionsOf(folder: string, options: Options): Promise<TrainingQuestion[]> {
  const own = (await readCorpus(folder)).filter(({ path }) => !OTHERS_CODE.test(path));
  const files = sampleCorpus(own, { limit: options.limit, seed: SEED, offset: 0 });
  const passages = await passagesOf(files, options.chunker);
  const index = new WordIndex(passages.map(({ text }) => text));
  return files
    .flatMap(({ questions }) => questions)
    .flatMap(({ query, relevant: [asked] }) => {
      const at = asked && !options.without.has(sentence(query)) ? rightOf(passages, asked) : undefined;
      const right = at === undefined ? undefined : passages[at];
      if (!asked || at === undefined || !right) return [];
      const scores = index.scores(query);
      const wrong = wrongOf({ query, asked, right, passages, scores });
      if (wrong.length < FEWEST_WRONG) return [];
      const shown = [at, ...wrong];
      return {
        query,
        package: basename(folder),
        language: right.language,
        passages: shown.map((one) => passages[one]?.text ?? ''),
        bm25: shown.map((one) => Number((scores[one] ?? 0).toFixed(3))),
      };
    });
}

interface Options {
  /** Questions a package. */
  limit: number;
  /** Sentences that are not asked. */
  without: ReadonlySet<string>;
  chunker: Chunker;
}

async function sentencesOf(folders: readonly string[]): Promise<Set<string>> {
  const sentences = new Set<string>();
  for (const folder of folders)
    for (const { questions } of await readCorpus(folder))
      for (const { query } of questions) sentences.add(sentence(query));
  return sentences;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string', default: 'pairs.jsonl' },
    questions: { type: 'string', default: '400' },
    without: { type: 'string', multiple: true, default: [] },
  },
});
const chunker = await createChunker({ maxChars: chunkCharsFor(MODEL_TOKENS) });
const without = await sentencesOf(values.without);
const out = await open(values.out, 'w');
for (const folder of positionals) {
  const questions = await questionsOf(folder, { limit: Number(values.questions), without, chunker });
  await out.appendFile(questions.map((question) => `${JSON.stringify(question)}\n`).join(''));
  process.stdout.write(`${basename(folder)}: ${questions.length} questions\n`);
}
await out.close();
chunker.close();
