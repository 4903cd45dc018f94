import { networkFailure } from '@embergate/platform/network-failure.ts';
import { readBounded } from '@embergate/platform/read-bounded.ts';
import { retryAfterMs } from '@embergate/platform/retry-after.ts';
import { z } from 'zod';
import { ChatFailure } from './chat-failure.ts';
import { WINDOW } from './windows.ts';
import type { Message } from './prompt.ts';

export interface ChatApiOptions {
  /** Ends in `/chat/completions`, or before it, or has no path at all: then `/v1/chat/completions` it is. */
  address: string;
  /** Sent as Bearer token, to this address only. */
  apiKey?: string | undefined;
  /** The API's own name of the model. */
  model: string;
}

/** `[10] > ` is five tokens; a model that thinks aloud first is cut off. */
const MAX_ANSWER_TOKENS = 16 * WINDOW;
const ANSWER_BYTES = 256 * 1_024;
const MISCONFIGURED: ReadonlySet<number> = new Set([401, 402, 403, 404, 405]);
const AWAY: ReadonlySet<number> = new Set([408, 429, 502, 503, 504]);
const ADVICE: Partial<Record<number, string>> = {
  401: '; see RERANK_API_KEY',
  403: '; see RERANK_API_KEY',
  404: '; see RERANK_URL and RERANK_MODEL',
  405: '; see RERANK_URL',
};

const answerSchema = z.object({
  choices: z.array(z.object({ message: z.object({ content: z.string().nullish() }) })),
});

/** A model behind an OpenAI-compatible chat API. */
export class ChatApi {
  readonly #url: URL;
  readonly #headers: Headers;
  readonly #model: string;

  constructor({ address, apiKey, model }: ChatApiOptions) {
    this.#url = chatUrl(address);
    this.#model = model;
    this.#headers = new Headers({ 'content-type': 'application/json', accept: 'application/json' });
    if (apiKey !== undefined) this.#headers.set('authorization', `Bearer ${apiKey}`);
  }

  /** Its address, for logs: a query may hold a key. */
  get shown(): string {
    return `${this.#url.origin}${this.#url.pathname}`;
  }

  /**
   * @returns what the model says; empty where it says nothing.
   * @throws ChatFailure; the signal's reason.
   */
  async ask(messages: readonly Message[], signal: AbortSignal): Promise<string> {
    try {
      const response = await fetch(this.#url, {
        method: 'POST',
        headers: this.#headers,
        body: JSON.stringify({
          model: this.#model,
          messages,
          temperature: 0,
          max_tokens: MAX_ANSWER_TOKENS,
          stream: false,
        }),
        // Where it leads to would be sent the key.
        redirect: 'manual',
        signal,
      });
      if (response.status !== 200) throw await this.#refusal(response);
      return this.#answer(await readBounded(response, ANSWER_BYTES));
    } catch (thrown) {
      if (thrown instanceof ChatFailure) throw thrown;
      if (signal.aborted) throw signal.reason;
      const { isUntrusted, code } = networkFailure(thrown);
      throw isUntrusted
        ? new ChatFailure('misconfigured', `${this.shown} is not trusted (${code})`)
        : new ChatFailure('away', `${this.shown} cannot be reached (${code})`);
    }
  }

  #answer(text: string | null): string {
    if (text === null) throw new ChatFailure('unclear', `${this.shown} gave too long an answer`);
    try {
      return answerSchema.parse(JSON.parse(text)).choices[0]?.message.content ?? '';
    } catch {
      throw new ChatFailure('unclear', `${this.shown} gave no chat completion`);
    }
  }

  /** Names the status alone: servers quote texts and keys in what they say of it. */
  async #refusal(response: Response): Promise<ChatFailure> {
    const { status, headers } = response;
    await response.body?.cancel().catch(() => undefined);
    const isRedirect = status >= 300 && status < 400;
    const verdict =
      isRedirect || MISCONFIGURED.has(status) ? 'misconfigured' : AWAY.has(status) ? 'away' : 'unclear';
    const advice = isRedirect ? '; redirects are not followed' : (ADVICE[status] ?? '');
    const wait = retryAfterMs(headers.get('retry-after'), Date.now());
    return new ChatFailure(verdict, `${this.shown} answered ${status}${advice}`, wait);
  }
}

function chatUrl(address: string): URL {
  const url = new URL(address);
  url.hash = '';
  const path = url.pathname.replace(/\/+$/, '');
  url.pathname = path.endsWith('/chat/completions') ? path : `${path === '' ? '/v1' : path}/chat/completions`;
  return url;
}
