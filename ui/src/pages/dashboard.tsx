import { Effort } from "../components/effort.tsx";
import { Health, Validation } from "../components/condition.tsx";
import { FeedList } from "../components/feed-list.tsx";
import { Flow } from "../components/flow.tsx";
import { HashrateChart } from "../components/chart.tsx";
import { Figure, Panel } from "../components/panel.tsx";
import { BlocksTable, PayoutsTable } from "../components/tables.tsx";
import type { Stats } from "../api/types.ts";
import {
  COIN,
  exactAmount,
  formatAgo,
  formatAmount,
  formatCount,
  formatHashrate,
  formatInteger,
  formatPercent,
  hashrateParts,
  parseTime,
  plural,
  UNKNOWN,
} from "../format.ts";
import type { Dashboard } from "../live/dashboard.ts";
import type { Freshness } from "../live/freshness.ts";

interface DashboardPageProps {
  dashboard: Dashboard;
  fresh: Freshness;
  nowMs: number;
}

export function DashboardPage({ dashboard, fresh, nowMs }: DashboardPageProps) {
  const { docs, feed, hashrate } = dashboard;
  const stats = docs.stats.value;
  const blocks = docs.blocks.value?.items ?? [];
  const payouts = docs.payouts.value?.items ?? [];
  const markers = blocks.flatMap((block) => {
    const atMs = parseTime(block.found_at);
    return atMs === null ? [] : [{ id: block.hash, atMs, label: `Block ${formatInteger(block.height)} found` }];
  });
  return (
    <div className="grid">
      <h1 className="sr-only">Pool dashboard</h1>
      <Panel title="Pool hashrate" className="span-8" aside={<People stats={stats} />}>
        <Hashrate value={stats?.pool.hashrate ?? null} network={stats?.chain.network_hashrate ?? null} />
        <HashrateChart points={hashrate} markers={markers} nowMs={nowMs} />
      </Panel>
      <Panel title="Current round" className="span-4">
        <Effort round={stats?.round ?? null} blocks={blocks} nowMs={nowMs} />
      </Panel>
      <Figures stats={stats} nowMs={nowMs} />
      <Panel title="From block to payout" className="span-12 panel-flow">
        <Flow blocks={blocks} payouts={payouts} balances={stats?.payouts ?? null} />
      </Panel>
      <Panel title="Recent blocks" className="span-8" aside={total(stats?.pool.blocks_found, "found")}>
        <BlocksTable blocks={blocks.slice(0, 10)} nowMs={nowMs} />
      </Panel>
      <Panel title="What happens now" className="span-4 panel-feed">
        <FeedList items={feed.items} nowMs={nowMs} />
      </Panel>
      <div className="span-8 stack">
        <Panel title="Recent payouts" aside={total(docs.payouts.value?.page.total, "made")}>
          <PayoutsTable payouts={payouts.slice(0, 5)} nowMs={nowMs} />
        </Panel>
        <Panel title="Health">
          <Health ready={docs.ready.value} stats={stats} fresh={fresh} />
        </Panel>
      </div>
      <Panel title="Share validation" className="span-4">
        <Validation stats={stats} nowMs={nowMs} />
      </Panel>
    </div>
  );
}

function total(count: number | undefined, word: string) {
  return count === undefined ? undefined : `${formatInteger(count)} ${word}`;
}

function People({ stats }: { stats: Stats | null }) {
  return (
    <span className="people">
      <span>
        <strong>{formatInteger(stats?.pool.miners)}</strong> {stats?.pool.miners === 1 ? "miner" : "miners"}
      </span>
      <span>
        <strong>{formatInteger(stats?.pool.workers)}</strong> {stats?.pool.workers === 1 ? "worker" : "workers"}
      </span>
    </span>
  );
}

function Hashrate({ value, network }: { value: number | null; network: number | null }) {
  const { text, unit } = hashrateParts(value);
  const part = value !== null && network !== null && network > 0 ? (value / network) * 100 : null;
  return (
    <div className="headline">
      <p className="big" data-testid="pool-hashrate">
        {text}
        <span className="big-unit">{unit}</span>
      </p>
      {part !== null && (
        <p className="big-note">
          {formatPercent(Math.min(100, part), part < 10 ? 1 : 0)} of the network's {formatHashrate(network)}
        </p>
      )}
    </div>
  );
}

function Figures({ stats, nowMs }: { stats: Stats | null; nowMs: number }) {
  const pool = stats?.pool;
  const chain = stats?.chain;
  const answered = pool === undefined ? null : pool.shares_accepted + pool.shares_rejected;
  const rejectPct = pool !== undefined && answered !== null && answered > 0 ? (pool.shares_rejected / answered) * 100 : null;
  return (
    <dl className="figures span-12">
      <Figure
        label="Chain height"
        value={formatInteger(chain?.daemon_chain_height)}
        note={`mining ${formatInteger(chain?.current_job_height)}`}
      />
      <Figure
        label="Network difficulty"
        value={formatCount(chain?.network_difficulty)}
        note={`network ${formatHashrate(chain?.network_hashrate)}`}
      />
      <Figure
        label="Blocks found"
        value={formatInteger(pool?.blocks_found)}
        note={`${formatPercent(pool?.orphan_rate_pct, 1)} orphaned`}
      />
      <Figure
        label="Shares accepted"
        value={formatCount(pool?.shares_accepted)}
        note={`${formatPercent(rejectPct, 2)} rejected`}
      />
      <Figure
        label={`Paid to miners, ${COIN}`}
        value={formatAmount(pool?.paid_to_miners_total)}
        note={`last ${formatAgo(parseTime(stats?.payouts.last_payout_at), nowMs)}`}
        title={exactAmount(pool?.paid_to_miners_total)}
      />
      <Figure
        label={`Waiting in balances, ${COIN}`}
        value={formatAmount(stats?.payouts.unpaid_amount)}
        note={stats === null ? UNKNOWN : `of ${plural(stats.payouts.unpaid_count, "miner")}`}
        title={exactAmount(stats?.payouts.unpaid_amount)}
      />
    </dl>
  );
}
