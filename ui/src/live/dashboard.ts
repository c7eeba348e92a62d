/** Everything the dashboard shows, kept outside the components so that it survives a page change. */

import type { Block, Info, Page, Payout, Readiness, Stats } from "../api/types.ts";
import { advanceFeed, EMPTY_FEED } from "./feed.ts";
import type { FeedState } from "./feed.ts";
import { Poller } from "./poller.ts";
import type { PollerOptions, Snapshot, Source } from "./poller.ts";
import { appendPoint } from "./series.ts";
import type { Point } from "./series.ts";

export interface Documents {
  stats: Stats;
  blocks: Page<Block>;
  payouts: Page<Payout>;
  ready: Readiness;
  info: Info;
}

const SOURCES: { readonly [K in keyof Documents]: Source } = {
  stats: { path: "/api/stats" },
  blocks: { path: "/api/blocks?limit=20" },
  payouts: { path: "/api/payouts/recent?limit=20" },
  ready: { path: "/readyz", alsoOk: [503] },
  info: { path: "/api/info", everyMs: 60_000 },
};

export interface Dashboard {
  docs: Snapshot<Documents>;
  feed: FeedState;
  hashrate: readonly Point[];
}

/** Folds one round of answers into what the page remembers. */
export function foldRound(prev: Dashboard, docs: Snapshot<Documents>, nowMs: number): Dashboard {
  const { stats, blocks, payouts } = docs;
  return {
    docs,
    // Told only once both lists are known, so that the first telling is complete.
    feed:
      blocks.value !== null && payouts.value !== null
        ? advanceFeed(prev.feed, blocks.value.items, payouts.value.items, nowMs)
        : prev.feed,
    hashrate:
      stats.value !== null && stats.updatedAtMs !== null
        ? appendPoint(prev.hashrate, { atMs: stats.updatedAtMs, value: stats.value.pool.hashrate })
        : prev.hashrate,
  };
}

export class DashboardStore {
  private state: Dashboard;
  private readonly poller: Poller<Documents>;

  constructor(options: Partial<PollerOptions<Documents>> = {}) {
    this.poller = new Poller<Documents>(SOURCES, {
      intervalMs: 2_000,
      ...options,
      onRound: (docs, nowMs) => {
        this.state = foldRound(this.state, docs, nowMs);
      },
    });
    this.state = { docs: this.poller.get(), feed: EMPTY_FEED, hashrate: [] };
  }

  readonly get = (): Dashboard => this.state;
  readonly subscribe = (listener: () => void): (() => void) => this.poller.subscribe(listener);

  start(): void {
    this.poller.start();
  }

  stop(): void {
    this.poller.stop();
  }
}
