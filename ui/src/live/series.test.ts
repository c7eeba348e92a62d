import { expect, test } from "vitest";
import { appendPoint, niceCeiling, splitAtGaps } from "./series.ts";
import type { Point } from "./series.ts";

test("the history is bounded and drops the oldest", () => {
  let points: readonly Point[] = [];
  for (let n = 1; n <= 10; n += 1) points = appendPoint(points, { atMs: n, value: n }, 4);
  expect(points.map((point) => point.value)).toEqual([7, 8, 9, 10]);
});

test("an answer that is not newer adds nothing", () => {
  const points = [{ atMs: 5, value: 1 }];
  expect(appendPoint(points, { atMs: 5, value: 2 })).toBe(points);
  expect(appendPoint(points, { atMs: 6, value: Number.NaN })).toBe(points);
});

test("the line is cut where answers are missing", () => {
  const points = [0, 2, 4, 60, 62].map((atMs) => ({ atMs, value: 1 }));
  expect(splitAtGaps(points, 15).map((run) => run.length)).toEqual([3, 2]);
  expect(splitAtGaps([], 15)).toEqual([]);
});

test.each([
  [0, 1],
  [0.7, 0.8],
  [19, 20],
  [21.3, 25],
  [100, 100],
  [810, 1_000],
])("an axis for %d ends at %d", (value, top) => {
  expect(niceCeiling(value)).toBeCloseTo(top);
});
