/** How a [outputs, inputs] matrix is cut: each row in blocks of `block` inputs, each block with a scale of its own. */
export interface BlockLayout {
  outputs: number;
  inputs: number;
  /** 4: two values a byte, the first in the low half. */
  bits: 4 | 8;
  block: number;
}

/** Blocks of a row; the last one is filled up with zeros. */
export const blocksPerRow = ({ inputs, block }: BlockLayout): number => Math.ceil(inputs / block);

export const bytesPerBlock = ({ bits, block }: BlockLayout): number => (block * bits) / 8;

/**
 * With 15 steps a block it pays to let its largest value be cut off a little, if all others become more exact by it: of these
 * shares of the largest value the one with the least squared error is taken. With 255 steps it changes nothing.
 */
const SHARES = { 4: [1, 0.94, 0.88, 0.82], 8: [1] } as const;

/**
 * Symmetric quantisation by block, as onnxruntime's MatMulNBits reads it without zero points: value = (q - middle) * scale,
 * middle = 2^(bits-1). The value of the largest magnitude maps to q = 0, so that all 2^bits steps are in use; the scale has the
 * opposite sign of it.
 *
 * @param rows values of some whole rows, one after the other.
 * @returns `packed` [rows, blocksPerRow, bytesPerBlock] and `scales` [rows, blocksPerRow]; of a block with a value that is not finite
 * the scale is not finite either.
 */
export function quantizeRows(
  rows: Float32Array,
  layout: BlockLayout,
): { packed: Uint8Array; scales: Float32Array } {
  const { inputs, bits, block } = layout;
  const count = rows.length / inputs;
  const blocks = blocksPerRow(layout);
  const blockBytes = bytesPerBlock(layout);
  const packed = new Uint8Array(count * blocks * blockBytes);
  const scales = new Float32Array(count * blocks);
  for (let row = 0, at = 0; row < count; row++) {
    for (let index = 0; index < blocks; index++, at++) {
      const from = row * inputs + index * block;
      const to = Math.min(from + block, (row + 1) * inputs);
      const scale = Math.fround(bestScale(rows, { from, to, bits }));
      scales[at] = scale;
      pack(rows, { from, to, scale, bits, into: packed.subarray(at * blockBytes, (at + 1) * blockBytes) });
    }
  }
  return { packed, scales };
}

interface Range {
  from: number;
  to: number;
  bits: 4 | 8;
}

/** 0 for a block of zeros; not finite where a value is not. */
function bestScale(values: Float32Array, { from, to, bits }: Range): number {
  let largest = 0;
  for (let at = from; at < to; at++) {
    const value = values[at] as number;
    if (Number.isNaN(value)) return NaN;
    if (Math.abs(value) > Math.abs(largest)) largest = value;
  }
  const full = largest / -(2 ** (bits - 1));
  const shares: readonly number[] = SHARES[bits];
  if (full === 0 || shares.length === 1) return full;
  let best = full;
  let least = Infinity;
  for (const share of shares) {
    const error = squaredError(values, { from, to, bits, scale: full * share });
    if (error < least) [best, least] = [full * share, error];
  }
  return best;
}

function squaredError(values: Float32Array, { from, to, bits, scale }: Range & { scale: number }): number {
  const lowest = -(2 ** (bits - 1));
  const highest = -lowest - 1;
  const perUnit = 1 / scale;
  let sum = 0;
  for (let at = from; at < to; at++) {
    const value = values[at] as number;
    const step = Math.floor(value * perUnit + 0.5);
    const difference = value - scale * (step < lowest ? lowest : step > highest ? highest : step);
    sum += difference * difference;
  }
  return sum;
}

function pack(
  values: Float32Array,
  { from, to, scale, bits, into }: Range & { scale: number; into: Uint8Array },
): void {
  const middle = 2 ** (bits - 1);
  const most = 2 * middle - 1;
  const perUnit = scale === 0 ? 0 : 1 / scale;
  if (bits === 4) into.fill(middle | (middle << 4));
  else into.fill(middle);
  for (let at = from; at < to; at++) {
    const step = Math.floor((values[at] as number) * perUnit + 0.5) + middle;
    const quantized = step < 0 ? 0 : step > most ? most : step;
    const place = at - from;
    if (bits === 8) into[place] = quantized;
    else if (place % 2 === 0) into[place >> 1] = ((into[place >> 1] as number) & 0xf0) | quantized;
    else into[place >> 1] = ((into[place >> 1] as number) & 0x0f) | (quantized << 4);
  }
}
