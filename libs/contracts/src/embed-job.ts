import { z } from 'zod';
import { decodeVectorFrame, encodeVectorFrame } from './vector-frame.ts';

/**
 * A request for vectors, as it crosses the queue. Texts arrive as token ids, already prompted, truncated and
 * closed with the model's special tokens: the token count drives admission and batching, so the sender has it.
 */
export const embedJobSchema = z.strictObject({
  id: z.string().min(1),
  /** The space the ids were made for; a worker of another space refuses the job. */
  space: z.string().min(1),
  /** One entry a text: little-endian uint32 token ids in base64. */
  inputs: z.array(z.string()).min(1),
  /** The same texts, prompted and uncut; only in jobs of the remote tier, whose API reads no token ids. Its worker cuts them. */
  texts: z.array(z.string()).min(1).optional(),
  tokenCount: z.int().positive(),
  /** Redis time in milliseconds after which nobody waits for the answer. */
  deadline: z.number().positive(),
  /** Redis time in milliseconds at which the job was enqueued. */
  enqueuedAt: z.number().positive(),
  /** The sender's inbox. */
  replyTo: z.string().min(1),
});
export type EmbedJob = z.infer<typeof embedJobSchema>;

export function encodeTokenIds(ids: Uint32Array): string {
  return Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength).toString('base64');
}

export function decodeTokenIds(encoded: string): Uint32Array {
  const bytes = Buffer.from(encoded, 'base64');
  // Buffers come out of a pool at any offset, a Uint32Array needs one divisible by four.
  return new Uint32Array(new Uint8Array(bytes).buffer, 0, bytes.byteLength >> 2);
}

const replyOkSchema = z.strictObject({
  status: z.literal('ok'),
  id: z.string(),
  count: z.int().positive(),
  dimensions: z.int().positive(),
  workerId: z.string(),
  tier: z.string(),
  variant: z.string(),
  device: z.string(),
  queueMs: z.number(),
  inferenceMs: z.number(),
});
const replyErrorSchema = z.strictObject({
  status: z.literal('error'),
  id: z.string(),
  code: z.string(),
  message: z.string(),
});
export const embedReplyMetaSchema = z.discriminatedUnion('status', [replyOkSchema, replyErrorSchema]);
export type EmbedReplyMeta = z.infer<typeof embedReplyMetaSchema>;

/** The answer to an {@link EmbedJob}: `vectors` is count x dimensions float32, row by row; empty on error. */
export interface EmbedReply {
  meta: EmbedReplyMeta;
  vectors: Float32Array;
}

/** Wire form: {@link encodeVectorFrame}. */
export const encodeEmbedReply = ({ meta, vectors }: EmbedReply): Buffer => encodeVectorFrame(meta, vectors);

export function decodeEmbedReply(frame: Buffer): EmbedReply {
  const { head, values } = decodeVectorFrame(frame);
  return { meta: embedReplyMetaSchema.parse(head), vectors: values };
}
