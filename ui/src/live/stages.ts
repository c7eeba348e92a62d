/**
 * Where the money is: a block is found, confirms and is credited to balances; from there the coins
 * leave in payouts, which are sent and settle. One payout carries credits of several blocks, so the
 * first three stages hold blocks and the last two hold payouts.
 */

import type { Block, Payout } from "../api/types.ts";

export type Stage = "found" | "confirming" | "credited" | "paid" | "settled";
export type BlockStage = "found" | "confirming" | "credited" | "orphaned";
export type PayoutStage = "paid" | "settled" | "released";

export const STAGES: readonly { stage: Stage; title: string; explain: string }[] = [
  { stage: "found", title: "Found", explain: "A share met the network target" },
  { stage: "confirming", title: "Confirming", explain: "Blocks are built on top of it" },
  { stage: "credited", title: "Credited", explain: "Reward split into balances" },
  { stage: "paid", title: "Paid", explain: "Coins are on their way" },
  { stage: "settled", title: "Settled", explain: "Too deep to be undone" },
];

export function blockStage(block: Block): BlockStage {
  switch (block.state) {
    case "displaced":
    case "lost":
    case "reversed":
      return "orphaned";
    case "credited":
      return "credited";
    case "confirmed":
      return "confirming";
    case "seen":
      return block.confirmations > 0 ? "confirming" : "found";
    default:
      return "found";
  }
}

export function payoutStage(payout: Payout): PayoutStage {
  if (payout.state === "settled") return "settled";
  return payout.state === "released" ? "released" : "paid";
}

/** How far a block is on its way to being credited, 0 to 1. */
export function blockProgress(block: Block): number {
  if (blockStage(block) === "credited") return 1;
  if (!(block.confirmations_required > 0)) return 0;
  return Math.min(1, Math.max(0, block.confirmations / block.confirmations_required));
}

const BLOCK_WORDS: Record<Block["state"], string> = {
  candidate: "found",
  submitted: "sent to the network",
  seen: "in the chain",
  confirmed: "confirmed",
  credited: "credited",
  displaced: "out of the chain",
  reversed: "reversed",
  lost: "orphaned",
};

/** The state in a few words, with progress while there is some. */
export function blockWords(block: Block): string {
  if (blockStage(block) === "confirming" && block.state !== "confirmed") {
    return `confirming ${confirmationsText(block)}`;
  }
  return BLOCK_WORDS[block.state];
}

export function confirmationsText(block: Block): string {
  const shown = Math.min(block.confirmations, block.confirmations_required);
  return `${shown}/${block.confirmations_required}`;
}

const PAYOUT_WORDS: Record<Payout["state"], string> = {
  planned: "planned",
  reserved: "reserved",
  unknown: "being checked",
  broadcast: "sent",
  confirmed: "confirmed",
  settled: "settled",
  released: "released",
};

export function payoutWords(payout: Payout): string {
  return PAYOUT_WORDS[payout.state];
}
