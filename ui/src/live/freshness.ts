/** Says how much the figures on the page can be trusted right now. */

import { formatClock, formatDuration } from "../format.ts";
import type { Known } from "./poller.ts";

export type Freshness =
  | { kind: "connecting"; text: string }
  | { kind: "live"; text: string }
  | { kind: "stale"; text: string; detail: string }
  | { kind: "unreachable"; text: string; detail: string };

/** Older than this, figures are called stale even when nothing has failed yet. */
export const STALE_AFTER_MS = 8_000;

/** Judges by one document, the one that every round asks for. */
export function freshness(known: Known<unknown>, nowMs: number, staleAfterMs = STALE_AFTER_MS): Freshness {
  const { updatedAtMs, error } = known;
  if (updatedAtMs === null) {
    if (error === null) return { kind: "connecting", text: "Connecting" };
    return { kind: "unreachable", text: "No answer", detail: `No figures yet: ${error}. Trying again.` };
  }
  const ageMs = Math.max(0, nowMs - updatedAtMs);
  if (ageMs < staleAfterMs) return { kind: "live", text: "Live" };
  const why = error ?? "no new answer has arrived";
  return {
    kind: "stale",
    text: `Stale for ${formatDuration(ageMs / 1000)}`,
    detail: `Showing the state of ${formatClock(updatedAtMs)}: ${why}. Trying again.`,
  };
}
