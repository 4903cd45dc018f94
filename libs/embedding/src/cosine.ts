/** The cosine of two vectors of one length; 0 where one of them has none. */
export const cosine = (x: Float32Array, y: Float32Array): number =>
  dot(x, y) / (Math.sqrt(dot(x, x) * dot(y, y)) || 1);

export function dot(x: Float32Array, y: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < x.length; at++) sum += (x[at] as number) * (y[at] as number);
  return sum;
}
