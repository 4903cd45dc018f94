/**
 * What is fetched of a model's repository: weights as safetensors, the tokenizer, and the JSON that says how both are used. Never
 * pickle (.bin, .pt), never code. Names come from elsewhere and become paths of this machine, so they are matched as a whole.
 */
const PATTERNS: readonly RegExp[] = [
  /^(config|tokenizer|tokenizer_config|special_tokens_map|modules|sentence_bert_config|config_sentence_transformers)\.json$/,
  /^model\.safetensors(\.index\.json)?$/,
  /^model-\d{5}-of-\d{5}\.safetensors$/,
  /^\d{1,2}_[A-Za-z]{1,32}\/config\.json$/,
];
const WEIGHTS = 'model.safetensors';
const WEIGHTS_INDEX = 'model.safetensors.index.json';

export const isCheckoutFile = (path: string): boolean => PATTERNS.some((pattern) => pattern.test(path));
export const isWeights = (path: string): boolean => path.endsWith('.safetensors');

/** Those of a listing that a model is built from, small ones first: what is wrong in a description is then known early. */
export function checkoutFiles<T extends { path: string; bytes: number }>(listed: readonly T[]): T[] {
  const known = listed.filter(({ path }) => isCheckoutFile(path));
  // A repository may hold the same weights in one file and in shards; with an index the shards are read.
  const hasIndex = known.some(({ path }) => path === WEIGHTS_INDEX);
  return known.filter(({ path }) => !hasIndex || path !== WEIGHTS).sort((a, b) => a.bytes - b.bytes);
}
