/**
 * What happened, in order: compares each answer with the one before and writes down what moved.
 *
 * Pure: state in, state out. The first answer only tells when things began, since nobody watched
 * how they got where they are.
 */

import type { Block, Payout } from "../api/types.ts";
import { COIN, formatAmount, formatInteger, parseTime, plural } from "../format.ts";
import { blockStage, confirmationsText, payoutWords } from "./stages.ts";
import type { Stage } from "./stages.ts";

export interface FeedItem {
  /** One per thing and stage: progress inside a stage updates its line in place. */
  key: string;
  atMs: number;
  tone: Stage | "bad";
  title: string;
  detail: string;
}

export interface FeedState {
  /** Newest first. */
  readonly items: readonly FeedItem[];
  /** The last line written about each block and payout. */
  readonly seen: ReadonlyMap<string, string>;
  readonly primed: boolean;
}

export const EMPTY_FEED: FeedState = { items: [], seen: new Map(), primed: false };

const ITEMS_MAX = 60;
const PRIMED_MAX = 8;
/** Far more than two lists of answers hold, so that nothing still listed is ever told twice. */
const SEEN_MAX = 2_000;

export function advanceFeed(
  prev: FeedState,
  blocks: readonly Block[],
  payouts: readonly Payout[],
  nowMs: number,
): FeedState {
  const seen = new Map(prev.seen);
  const fresh: FeedItem[] = [];
  const events = [...blocks.map((block) => blockEvent(block, nowMs)), ...payouts.map((p) => payoutEvent(p, nowMs))];
  for (const event of events) {
    const before = seen.get(event.subject);
    if (before === event.signature) continue;
    seen.set(event.subject, event.signature);
    if (!prev.primed) {
      fresh.push({ ...(event.foundItem ?? event.item), atMs: event.beganAtMs ?? nowMs });
      continue;
    }
    if (before === undefined && event.foundItem !== null) fresh.push(event.foundItem);
    fresh.push(event.item);
  }
  if (fresh.length === 0 && prev.primed) return prev;
  for (const subject of [...seen.keys()].slice(0, Math.max(0, seen.size - SEEN_MAX))) seen.delete(subject);
  const replaced = new Set(fresh.map((item) => item.key));
  const kept = prev.items.filter((item) => !replaced.has(item.key));
  const items = [...fresh, ...kept].sort((a, b) => b.atMs - a.atMs);
  return { items: items.slice(0, prev.primed ? ITEMS_MAX : PRIMED_MAX), seen, primed: true };
}

interface FeedEvent {
  subject: string;
  /** Changes exactly when there is something new to say. */
  signature: string;
  beganAtMs: number | null;
  item: FeedItem;
  /** For a block first seen beyond its find: the find itself, which deserves its own line. */
  foundItem: FeedItem | null;
}

function blockEvent(block: Block, nowMs: number): FeedEvent {
  const stage = blockStage(block);
  const name = `Block ${formatInteger(block.height)}`;
  const beganAtMs = parseTime(block.found_at);
  const key = `block:${block.hash}`;
  const reward = `${formatAmount(block.reward)} ${COIN}`;
  const found: FeedItem = {
    key: `${key}:found`,
    atMs: Math.min(beganAtMs ?? nowMs, nowMs),
    tone: "found",
    title: `${name} found`,
    detail: block.finder === null ? "" : `by ${block.finder}`,
  };
  const base = { subject: key, beganAtMs };
  switch (stage) {
    case "found":
      return { ...base, signature: stage, item: found, foundItem: null };
    case "confirming": {
      const count = confirmationsText(block);
      const item: FeedItem = {
        key: `${key}:confirming`,
        atMs: nowMs,
        tone: "confirming",
        title: `${name} confirming ${count}`,
        detail: block.state === "confirmed" ? "deep enough, credit follows" : "",
      };
      return { ...base, signature: `${stage} ${count} ${block.state}`, item, foundItem: found };
    }
    case "credited": {
      const item: FeedItem = { key: `${key}:credited`, atMs: nowMs, tone: "credited", title: `${name} credited`, detail: reward };
      return { ...base, signature: stage, item, foundItem: found };
    }
    case "orphaned": {
      const detail = block.state === "reversed" ? "credit taken back" : "another block took its place";
      const item: FeedItem = { key: `${key}:orphaned`, atMs: nowMs, tone: "bad", title: `${name} orphaned`, detail };
      return { ...base, signature: block.state, item, foundItem: found };
    }
  }
}

function payoutEvent(payout: Payout, nowMs: number): FeedEvent {
  const subject = `payout:${payout.intent_id}`;
  const words = payoutWords(payout);
  const amount = `${formatAmount(payout.total_amount)} ${COIN}`;
  const attention = payout.attention === null ? "" : ` · ${payout.attention}`;
  const bad = payout.state === "released" || payout.attention !== null;
  const item: FeedItem = {
    key: `${subject}:${payout.state}`,
    atMs: nowMs,
    tone: bad ? "bad" : payout.state === "settled" ? "settled" : "paid",
    title: `Payout ${words}`,
    detail: `${amount} to ${plural(payout.recipient_count, "miner")}${attention}`,
  };
  const signature = `${payout.state} ${payout.attention ?? ""}`;
  return { subject, signature, beganAtMs: parseTime(payout.timestamp), item, foundItem: null };
}
