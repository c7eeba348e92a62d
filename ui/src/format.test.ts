import { describe, expect, test } from "vitest";
import {
  exactAmount,
  formatAgo,
  formatAmount,
  formatCount,
  formatDuration,
  formatHashrate,
  formatPercent,
  parseTime,
  plural,
  shorten,
  UNKNOWN,
} from "./format.ts";

describe("amounts", () => {
  test.each([
    [0, "0.00"],
    [1, "0.00000001"],
    [10_000_000, "0.10"],
    [100_000_000, "1.00"],
    [46_767_460_036, "467.67460036"],
    [-46_767_460_036, "−467.67460036"],
    [18_450_331_200_000, "184,503.312"],
    [Number.MAX_SAFE_INTEGER, "90,071,992.54740991"],
  ])("%d atoms are exactly %s coins", (atoms, text) => {
    expect(exactAmount(atoms)).toBe(text);
  });

  test.each([
    [1, "0.00000001"],
    [99_999_999, "0.99999999"],
    [199_999_999, "1.9999"],
    [990_000_000, "9.9000"],
    [46_767_460_036, "467.6746"],
    [100_000_000_000, "1,000.00"],
    [18_450_331_999_999, "184,503.31"],
  ])("%d atoms are shown as %s, never rounded up", (atoms, text) => {
    expect(formatAmount(atoms)).toBe(text);
  });

  test("what is not a whole number of atoms is unknown, not money", () => {
    expect(formatAmount(1.5)).toBe(UNKNOWN);
    expect(formatAmount(null)).toBe(UNKNOWN);
    expect(formatAmount(Number.NaN)).toBe(UNKNOWN);
  });
});

describe("hashrates and counts", () => {
  test.each([
    [0, "0 H/s"],
    [7.9, "7.90 H/s"],
    [19.42, "19.4 H/s"],
    [999.4, "999 H/s"],
    [999.6, "1.00 kH/s"],
    [1_183.42, "1.18 kH/s"],
    [4_166_670, "4.17 MH/s"],
  ])("%d is %s", (value, text) => {
    expect(formatHashrate(value)).toBe(text);
  });

  test("an unknown hashrate is a dash without a unit", () => {
    expect(formatHashrate(null)).toBe(UNKNOWN);
    expect(formatHashrate(-1)).toBe(UNKNOWN);
  });

  test("small counts keep every digit, large ones are scaled", () => {
    expect(formatCount(9_999)).toBe("9,999");
    expect(formatCount(1_842_077)).toBe("1.84M");
    expect(formatCount(undefined)).toBe(UNKNOWN);
  });

  test("a percentage that nobody knows is not zero", () => {
    expect(formatPercent(null)).toBe(UNKNOWN);
    expect(formatPercent(2.284, 1)).toBe("2.3 %");
  });

  test("nouns follow their count", () => {
    expect(plural(1, "miner")).toBe("1 miner");
    expect(plural(2, "miner")).toBe("2 miners");
  });
});

describe("times", () => {
  test.each([
    [0, "0 s"],
    [45, "45 s"],
    [60, "1 min"],
    [200, "3 min 20 s"],
    [7_500, "2 h 5 min"],
    [3_605, "1 h"],
    [367_200, "4 d 6 h"],
    [-3, "0 s"],
  ])("%d seconds last %s", (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text);
  });

  test("ages use one unit, and a clock that is ahead reads as now", () => {
    const now = 1_000_000_000;
    expect(formatAgo(now + 5_000, now)).toBe("now");
    expect(formatAgo(now - 12_000, now)).toBe("12 s ago");
    expect(formatAgo(now - 59_999 * 60, now)).toBe("59 min ago");
    expect(formatAgo(now - 86_400_000 * 3, now)).toBe("3 d ago");
    expect(formatAgo(null, now)).toBe(UNKNOWN);
  });

  test("only a time is a time", () => {
    expect(parseTime("2026-01-02T12:00:00Z")).toBe(Date.UTC(2026, 0, 2, 12));
    expect(parseTime("soon")).toBeNull();
    expect(parseTime(null)).toBeNull();
  });
});

test("shortening keeps both ends and leaves short texts alone", () => {
  expect(shorten("c4ca4238a0b923820dcc", 8, 6)).toBe("c4ca4238…820dcc");
  expect(shorten("9fKq…Vt3e")).toBe("9fKq…Vt3e");
  expect(shorten(null)).toBe(UNKNOWN);
});
