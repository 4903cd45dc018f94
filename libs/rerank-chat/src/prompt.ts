export interface Message {
  role: 'system' | 'user';
  content: string;
}

/** A passage is read up to here, in characters: some 600 tokens, so that a window of ten stays within 8,192. */
const MAX_PASSAGE = 2_000;
const MAX_QUERY = 2_000;

/**
 * The question that CodeRankLLM was trained on, with its words: the model's authors ask it so in their evaluation (CoRNStack, Suresh et al.,
 * ICLR 2025; rank_listwise_os_llm.py). A query stands where a docstring stood.
 */
export function rankingPrompt(query: string, passages: readonly string[]): Message[] {
  const asked = harmless(query, MAX_QUERY);
  const count = passages.length;
  const numbered = passages.map((passage, at) => `[${at + 1}] ${harmless(passage, MAX_PASSAGE)}\n`).join('');
  const example = count < 4 ? '[2] > [1]' : '[4] > [2]';
  return [
    {
      role: 'system',
      content:
        'You are CodeRanker, an intelligent code reviewer that can analyze doc strings and rank code snippets based on their relevance to the doc string.',
    },
    {
      role: 'user',
      content:
        `I will provide you with ${count} code snippets, each indicated by a numerical identifier []. ` +
        `Rank the code snippets based on their relevance to the functionality described by the following doc string: ${asked}.\n` +
        numbered +
        `Doc String: ${asked}.\n` +
        `Rank the ${count} code snippets above based on their relevance to the functionality described by the doc string. ` +
        'All the code snippets should be included and listed using identifiers, in descending order of relevance. ' +
        `The output format should be [] > [], e.g., ${example}. Only respond with the ranking results, do not say any word or explain.`,
    },
  ];
}

/**
 * Texts of strangers: a passage that says `[3]` must not look like the third one, nor may it end the message where a server reads the
 * template's own marks (`<|im_end|>`) out of a text. What it says in words may still sway the model, but an answer is read as an order alone.
 */
function harmless(text: string, most: number): string {
  // JSON could hold half a surrogate pair, and many a server could not.
  const start = text.slice(0, most).toWellFormed().replaceAll('\0', '\ufffd');
  return start.replace(/\[\s*(\d+)\s*\]/g, '($1)').replaceAll('<|', '< |');
}
