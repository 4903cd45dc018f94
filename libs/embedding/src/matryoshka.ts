import type { EmbeddingBackend, EmbedOptions } from './backend.ts';

/**
 * Shortens vectors of a model that was trained for it: layer normalisation, the first numbers, length one.
 *
 *   cut(v) = u / |u|,  u = (v - mean(v))[0 .. to)
 *
 * Layer normalisation also divides by the deviation, which the length takes out again, so it is left out; and for the same reason it does not
 * matter whether `v` was normalised before. Kusupati et al., "Matryoshka Representation Learning" (2022); with the layer
 * normalisation as nomic-embed-text-v1.5's model card has it.
 * @param vectors rows x from, row by row.
 * @returns rows x to, row by row.
 */
export function cutVectors(vectors: Float32Array, { from, to }: { from: number; to: number }): Float32Array {
  const rows = vectors.length / from;
  const cut = new Float32Array(rows * to);
  for (let row = 0; row < rows; row++) {
    const whole = vectors.subarray(row * from, (row + 1) * from);
    const mean = whole.reduce((sum, value) => sum + value, 0) / from;
    const part = whole.subarray(0, to).map((value) => value - mean);
    const length = Math.hypot(...part) || 1;
    cut.set(
      part.map((value) => value / length),
      row * to,
    );
  }
  return cut;
}

/** The model with vectors of so many numbers: as it is, or cut. */
export function withVectorsOf(backend: EmbeddingBackend, dimensions: number): EmbeddingBackend {
  if (dimensions === backend.dimensions) return backend;
  return {
    get device() {
      return backend.device;
    },
    get isReady() {
      return backend.isReady;
    },
    get whyAway() {
      return backend.whyAway;
    },
    dimensions,
    get bulkBeside() {
      return backend.bulkBeside;
    },
    get isolatesBulk() {
      return backend.isolatesBulk;
    },
    pads: backend.pads,
    computedTokens: (batch) => backend.computedTokens(batch),
    whenReady: () => backend.whenReady(),
    close: () => backend.close(),
    async embed(batch: readonly Uint32Array[], options?: EmbedOptions) {
      const { vectors, ms } = await backend.embed(batch, options);
      return { vectors: cutVectors(vectors, { from: backend.dimensions, to: dimensions }), ms };
    },
  };
}
