/** The history this page has seen itself, in memory: one hashrate per answer, bounded. */

export interface Point {
  atMs: number;
  value: number;
}

/** Half an hour at one answer every two seconds. */
export const POINTS_MAX = 900;

/** Appends an answer; a repeated or older one changes nothing. */
export function appendPoint(points: readonly Point[], next: Point, max = POINTS_MAX): readonly Point[] {
  const last = points.at(-1);
  if (last !== undefined && next.atMs <= last.atMs) return points;
  if (!Number.isFinite(next.value)) return points;
  return [...points.slice(points.length >= max ? points.length - max + 1 : 0), next];
}

/** Splits where answers are missing, so that a line never claims what nobody measured. */
export function splitAtGaps(points: readonly Point[], gapMs: number): Point[][] {
  const runs: Point[][] = [];
  let run: Point[] = [];
  for (const point of points) {
    const last = run.at(-1);
    if (last !== undefined && point.atMs - last.atMs > gapMs) {
      runs.push(run);
      run = [];
    }
    run.push(point);
  }
  if (run.length > 0) runs.push(run);
  return runs;
}

/** The smallest of 1, 2, 2.5, 4, 5 or 8 times a power of ten that is not below `value`. */
export function niceCeiling(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  for (const step of [1, 2, 2.5, 4, 5, 8]) {
    if (step * power >= value) return step * power;
  }
  return 10 * power;
}
