/** Which of the two APIs is spoken, and where. */
export interface Endpoint {
  kind: 'openai' | 'tei';
  url: URL;
  /** For logs and messages: a query may hold a key. */
  shown: string;
}

/**
 * What an address means: one that ends in `/embed` is text-embeddings-inference's; any other is compatible with OpenAI's, and may
 * end before `/embeddings`, or before `/v1` where it has no path at all.
 */
export function endpointOf(address: string): Endpoint {
  const url = new URL(address);
  url.hash = '';
  const path = url.pathname.replace(/\/+$/, '');
  const kind = path.endsWith('/embed') ? 'tei' : 'openai';
  if (kind === 'tei' || path.endsWith('/embeddings')) url.pathname = path;
  else url.pathname = `${path === '' ? '/v1' : path}/embeddings`;
  return { kind, url, shown: `${url.origin}${url.pathname}` };
}
