import { expect, test } from "vitest";
import { block, payout } from "../../tests/fixtures/pool.ts";
import { blockProgress, blockStage, blockWords, payoutStage } from "./stages.ts";

test.each([
  [block({ state: "candidate", confirmations: 0 }), "found", "found"],
  [block({ state: "submitted", confirmations: 0 }), "found", "sent to the network"],
  [block({ state: "seen", confirmations: 0 }), "found", "in the chain"],
  [block({ state: "seen", confirmations: 2 }), "confirming", "confirming 2/3"],
  [block({ state: "confirmed", confirmations: 3 }), "confirming", "confirmed"],
  [block({ state: "credited", confirmations: 9 }), "credited", "credited"],
  [block({ state: "displaced", confirmations: 0 }), "orphaned", "out of the chain"],
  [block({ state: "reversed" }), "orphaned", "reversed"],
  [block({ state: "lost" }), "orphaned", "orphaned"],
] as const)("a block %# is in stage %s", (it, stage, words) => {
  expect(blockStage(it)).toBe(stage);
  expect(blockWords(it)).toBe(words);
});

test("progress stays between nothing and all, whatever the pool counts", () => {
  expect(blockProgress(block({ confirmations: 1 }))).toBeCloseTo(1 / 3);
  expect(blockProgress(block({ confirmations: 90 }))).toBe(1);
  expect(blockProgress(block({ confirmations_required: 0 }))).toBe(0);
  expect(blockProgress(block({ state: "credited", confirmations: 0 }))).toBe(1);
});

test("a released payout is neither paid nor settled", () => {
  expect(payoutStage(payout({ state: "released" }))).toBe("released");
  expect(payoutStage(payout({ state: "unknown" }))).toBe("paid");
  expect(payoutStage(payout({ state: "settled" }))).toBe("settled");
});
