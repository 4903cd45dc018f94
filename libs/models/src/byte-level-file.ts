import { z } from 'zod';

/** How Qwen2 and Qwen2.5 cut a text into words, as their tokenizer.json writes it for the Oniguruma library. */
const QWEN2_WORDS = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

const id = z.int().nonnegative();
const only = <const T extends string>(value: T, what: string) =>
  z.literal(value, { error: `only ${what} is supported` });
const off = (name: string) =>
  z.literal([false, null, 0, ''], { error: `${name} is not supported` }).optional();

const templateSchema = z.object({
  type: z.literal('TemplateProcessing'),
  single: z
    .array(
      z.union([
        z.object({ SpecialToken: z.object({ id: z.string() }) }),
        z.object({ Sequence: z.object({ id: z.literal('A') }) }),
      ]),
    )
    .refine((pieces) => pieces.filter((piece) => 'Sequence' in piece).length === 1, {
      error: 'the text must be in it once',
    }),
  special_tokens: z.record(z.string(), z.object({ ids: z.array(id) })),
});
const processorSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ByteLevel') }),
  templateSchema,
]);

/** What would not be read as Hugging Face's tokenizers read it is refused: wrong tokens only show in bad results. */
export const byteLevelFileSchema = z.object({
  normalizer: z.object({ type: only('NFC', 'NFC') }),
  pre_tokenizer: z.object({
    type: only('Sequence', "Qwen2's sequence of Split and ByteLevel"),
    pretokenizers: z.tuple([
      z.object({
        type: only('Split', 'Split'),
        pattern: z.object({ Regex: only(QWEN2_WORDS, "Qwen2's pattern") }),
        behavior: only('Isolated', 'Isolated'),
        invert: off('invert'),
      }),
      z.object({
        type: only('ByteLevel', 'ByteLevel'),
        add_prefix_space: off('add_prefix_space'),
        use_regex: z.literal(false, { error: 'use_regex is not supported' }),
      }),
    ]),
  }),
  post_processor: z
    .union(
      [
        z.object({ type: z.literal('Sequence'), processors: z.array(processorSchema) }),
        processorSchema.transform((processor) => ({ processors: [processor] })),
      ],
      { error: 'only ByteLevel and TemplateProcessing of one text are supported' },
    )
    .nullish(),
  added_tokens: z.array(
    z.object({
      id,
      content: z.string().min(1),
      single_word: off('single_word'),
      lstrip: off('lstrip'),
      rstrip: off('rstrip'),
      normalized: off('normalized'),
    }),
  ),
  model: z.object({
    vocab: z.record(z.string(), id),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
    dropout: off('dropout'),
    continuing_subword_prefix: off('continuing_subword_prefix'),
    end_of_word_suffix: off('end_of_word_suffix'),
    byte_fallback: off('byte_fallback'),
    ignore_merges: off('ignore_merges'),
  }),
  padding: z.object({ pad_id: id }).nullish(),
});
export type ByteLevelFile = z.infer<typeof byteLevelFileSchema>;

/** The ids that the file's post-processor puts around a text: none for Qwen2 itself. Throws where one has no id. */
export function frameOf(file: ByteLevelFile): { before: number[]; after: number[] } {
  let before: number[] = [];
  let after: number[] = [];
  for (const processor of file.post_processor?.processors ?? []) {
    if (processor.type !== 'TemplateProcessing') continue;
    const { single, special_tokens: known } = processor;
    const text = single.findIndex((piece) => 'Sequence' in piece);
    const ids = single.map((piece) => {
      if ('Sequence' in piece) return [];
      const found = known[piece.SpecialToken.id];
      if (!found) throw new Error(`the post-processor's ${piece.SpecialToken.id} has no id`);
      return found.ids;
    });
    before = [...ids.slice(0, text).flat(), ...before];
    after = [...after, ...ids.slice(text).flat()];
  }
  return { before, after };
}
