import type { Block, RoundStats } from "../api/types.ts";
import { formatCount, formatDuration, formatPercent, parseTime, UNKNOWN } from "../format.ts";

interface EffortProps {
  round: RoundStats | null;
  /** Recent blocks, for the average effort they took. */
  blocks: readonly Block[];
  nowMs: number;
}

/** How much work the current round has taken, against what a block takes on average. */
export function Effort({ round, blocks, nowMs }: EffortProps) {
  const effort = round?.effort_pct ?? null;
  const startedMs = parseTime(round?.round_start);
  // Up to twice the average by default; a longer round stretches the scale instead of leaving it.
  const scaleMax = Math.max(200, Math.ceil((effort ?? 0) / 100) * 100);
  const part = effort === null ? 0 : Math.min(100, (effort / scaleMax) * 100);
  return (
    <div className={`effort tone-${effortTone(effort)}`}>
      <p className="big">
        {effort === null ? UNKNOWN : effort.toFixed(0)}
        {effort !== null && <span className="big-unit">%</span>}
      </p>
      <p className="big-note">{effortWords(effort)}</p>
      <svg className="effort-bar" role="img" aria-label={`Effort ${formatPercent(effort)} of the average`}>
        <rect className="bar-track" y="4" width="100%" height="8" rx="4" />
        <rect className="bar-fill" y="4" width={`${part}%`} height="8" rx="4" />
        <rect className="effort-mark" x={`${(100 / scaleMax) * 100}%`} width="2" height="16" />
      </svg>
      <dl className="pairs">
        <div>
          <dt>Elapsed</dt>
          <dd>{startedMs === null ? UNKNOWN : formatDuration((nowMs - startedMs) / 1000)}</dd>
        </div>
        <div>
          <dt>Work done</dt>
          <dd>{formatCount(round?.round_work)}</dd>
        </div>
        <div>
          <dt>Average per block</dt>
          <dd>{formatCount(round?.expected_work)}</dd>
        </div>
        <div>
          <dt>Effort of recent blocks</dt>
          <dd>{formatPercent(averageEffort(blocks))}</dd>
        </div>
      </dl>
    </div>
  );
}

export function effortTone(effortPct: number | null): "good" | "plain" | "warn" {
  if (effortPct === null) return "plain";
  return effortPct <= 100 ? "good" : effortPct <= 200 ? "plain" : "warn";
}

function effortWords(effort: number | null): string {
  if (effort === null) return "No round yet";
  if (effort <= 100) return "of the average work for a block";
  return effort <= 200 ? "past the average, still usual" : "an unlucky round";
}

/** The mean effort of the given blocks; orphans count, their work was done too. */
export function averageEffort(blocks: readonly Block[]): number | null {
  const efforts = blocks.map((block) => block.effort_pct).filter((effort) => effort !== null);
  if (efforts.length === 0) return null;
  return efforts.reduce((sum, effort) => sum + effort, 0) / efforts.length;
}
