/** How the pool itself is doing: verification of shares, and readiness. */

import type { Readiness, Stats } from "../api/types.ts";
import { formatAgo, formatCount, formatInteger, parseTime, plural } from "../format.ts";
import type { Freshness } from "../live/freshness.ts";
import { Bar } from "./panel.tsx";

export function Validation({ stats, nowMs }: { stats: Stats | null; nowMs: number }) {
  if (stats === null) return <p className="empty">No figures yet.</p>;
  const { validation: v, pool } = stats;
  const judged = pool.shares_verified + pool.shares_provisional;
  return (
    <>
      <div className="split">
        <span>
          <strong>{formatCount(pool.shares_verified)}</strong> verified
        </span>
        <span>
          <strong>{formatCount(pool.shares_provisional)}</strong> provisional
        </span>
      </div>
      <Bar
        part={judged === 0 ? 0 : pool.shares_verified / judged}
        label={`${formatInteger(pool.shares_verified)} of ${formatInteger(judged)} shares verified`}
        tone="settled"
      />
      <dl className="pairs pairs-list">
        <Pair name="Last share" value={formatAgo(parseTime(pool.last_share_at), nowMs)} />
        <Pair name="Being verified" value={formatInteger(v.in_flight)} />
        <Pair name="Waiting" value={formatInteger(v.candidate_queue_depth + v.regular_queue_depth)} />
        <Pair name="Owed checks" value={formatInteger(v.audit_debt)} />
        <Pair name="Sampled" value={`${formatCount(v.sampled_shares)} of ${formatCount(v.total_shares)}`} />
        <Pair name="Invalid samples" value={formatInteger(v.invalid_samples)} bad={v.invalid_samples > 0} />
        <Pair name="Fraud detected" value={formatInteger(v.fraud_detections)} bad={v.fraud_detections > 0} />
      </dl>
    </>
  );
}

function Pair({ name, value, bad = false }: { name: string; value: string; bad?: boolean }) {
  return (
    <div className={bad ? "tone-bad" : undefined}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

interface HealthProps {
  ready: Readiness | null;
  stats: Stats | null;
  fresh: Freshness;
}

interface Check {
  name: string;
  ok: boolean | null;
  says: string;
}

export function Health(props: HealthProps) {
  const { ready } = props;
  return (
    <>
      <ul className="checks" data-testid="health" data-ready={ready === null ? "unknown" : String(ready.ready)}>
        {checks(props).map(({ name, ok, says }) => (
          <li key={name} className={ok === null ? "check" : ok ? "check check-ok" : "check check-bad"}>
            <span className="check-name">{name}</span>
            <span className="check-says">{says}</span>
          </li>
        ))}
      </ul>
      {ready !== null && ready.reasons.length > 0 && (
        <ul className="reasons" aria-label="Reasons">
          {ready.reasons.map((reason) => (
            <li key={reason}>{reason}</li>
          ))}
        </ul>
      )}
    </>
  );
}

function checks({ ready, stats, fresh }: HealthProps): Check[] {
  const syncing = stats?.chain.daemon_syncing ?? null;
  const behind = stats === null ? null : Math.max(0, stats.ledger.durable_seq - stats.ledger.folded_seq);
  return [
    {
      name: "Service",
      ok: ready === null ? null : ready.ready,
      says: ready === null ? "unknown" : ready.ready ? "ready" : "not ready",
    },
    {
      name: "Daemon",
      ok: syncing === null ? null : !syncing,
      says: syncing === null ? "unknown" : syncing ? "catching up with the network" : "in step with the network",
    },
    {
      name: "Share log",
      ok: behind === null ? null : true,
      says: behind === null ? "unknown" : behind === 0 ? "all on disk and counted" : `${plural(behind, "record")} to count`,
    },
    {
      name: "This page",
      ok: fresh.kind === "connecting" ? null : fresh.kind === "live",
      says: fresh.kind === "live" ? "up to date" : fresh.text.toLowerCase(),
    },
  ];
}
