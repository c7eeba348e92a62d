import { expect, test } from "vitest";
import { ago, block, NOW_MS, payout } from "../../tests/fixtures/pool.ts";
import type { Block, Payout } from "../api/types.ts";
import { advanceFeed, EMPTY_FEED } from "./feed.ts";
import type { FeedState } from "./feed.ts";

const primed = advanceFeed(EMPTY_FEED, [], [], NOW_MS);

function step(state: FeedState, seconds: number, blocks: Block[], payouts: Payout[] = []): FeedState {
  return advanceFeed(state, blocks, payouts, NOW_MS + seconds * 1000);
}

function titles(state: FeedState): string[] {
  return state.items.map((item) => item.title);
}

test("a block is followed from its find to its credit, its payout to the settlement", () => {
  const found = block({ state: "submitted", confirmations: 0, found_at: ago(0) });
  const credited = block({ state: "credited", confirmations: 3, found_at: ago(0) });
  let feed = step(primed, 2, [found]);
  feed = step(feed, 4, [block({ confirmations: 1, found_at: ago(0) })]);
  feed = step(feed, 6, [block({ confirmations: 2, found_at: ago(0) })]);
  feed = step(feed, 8, [credited]);
  feed = step(feed, 10, [credited], [payout({ state: "planned" })]);
  feed = step(feed, 12, [credited], [payout({ state: "broadcast" })]);
  feed = step(feed, 14, [credited], [payout({ state: "settled" })]);
  expect(titles(feed)).toEqual([
    "Payout settled",
    "Payout sent",
    "Payout planned",
    "Block 61,234 credited",
    "Block 61,234 confirming 2/3",
    "Block 61,234 found",
  ]);
});

test("confirmations update one line instead of adding many", () => {
  let feed = step(primed, 0, [block({ confirmations: 1 })]);
  feed = step(feed, 2, [block({ confirmations: 2 })]);
  expect(titles(feed).filter((title) => title.includes("confirming"))).toEqual(["Block 61,234 confirming 2/3"]);
  expect(feed.items[0]?.atMs).toBe(NOW_MS + 2_000);
});

test("the same answer twice changes nothing, not even the object", () => {
  const once = step(primed, 0, [block()], [payout()]);
  expect(step(once, 2, [block()], [payout()])).toBe(once);
});

test("the first answer only tells when things began", () => {
  const feed = step(EMPTY_FEED, 0, [block({ state: "credited", found_at: ago(300) })], [payout({ timestamp: ago(100) })]);
  expect(feed.items.map(({ title, atMs }) => [title, (NOW_MS - atMs) / 1000])).toEqual([
    ["Payout sent", 100],
    ["Block 61,234 found", 300],
  ]);
});

test("a block that was found and credited between two answers gets both lines", () => {
  const feed = step(primed, 60, [block({ state: "credited", found_at: ago(0) })]);
  expect(titles(feed)).toEqual(["Block 61,234 credited", "Block 61,234 found"]);
});

test("an orphaned block and a payout that needs a person are told as bad news", () => {
  const feed = step(primed, 0, [block({ state: "lost" })], [payout({ state: "unknown", attention: "the daemon forgot it" })]);
  const bad = feed.items.filter((item) => item.tone === "bad");
  expect(bad.map((item) => item.title).sort()).toEqual(["Block 61,234 orphaned", "Payout being checked"]);
  expect(bad.some((item) => item.detail.endsWith("the daemon forgot it"))).toBe(true);
});

test("the feed stays bounded", () => {
  let feed = primed;
  for (let n = 0; n < 200; n += 1) {
    feed = step(feed, n, [block({ height: n, hash: n.toString(16).padStart(64, "0"), state: "credited" })]);
  }
  expect(feed.items.length).toBe(60);
});
