/** Recent blocks and payouts. On a narrow screen each row becomes a card, named by `data-label`. */

import type { Block, Payout } from "../api/types.ts";
import {
  COIN,
  exactAmount,
  formatAgo,
  formatAmount,
  formatDateTime,
  formatDuration,
  formatInteger,
  formatPercent,
  parseTime,
  shorten,
  UNKNOWN,
} from "../format.ts";
import { blockProgress, blockStage, blockWords, payoutWords } from "../live/stages.ts";
import { effortTone } from "./effort.tsx";
import { Bar } from "./panel.tsx";

export function Amount({ atoms }: { atoms: number | null | undefined }) {
  return <span title={`${exactAmount(atoms)} ${COIN}`}>{formatAmount(atoms)}</span>;
}

export function Ago({ time, nowMs }: { time: string | null; nowMs: number }) {
  const atMs = parseTime(time);
  if (atMs === null) return <>{UNKNOWN}</>;
  return (
    <time dateTime={time ?? undefined} title={formatDateTime(atMs)}>
      {formatAgo(atMs, nowMs)}
    </time>
  );
}

export function BlocksTable({ blocks, nowMs, finder = true }: { blocks: readonly Block[]; nowMs: number; finder?: boolean }) {
  if (blocks.length === 0) return <p className="empty">No block has been found yet.</p>;
  return (
    <table className="table">
      <caption className="sr-only">Recent blocks, newest first</caption>
      <thead>
        <tr>
          <th scope="col">Height</th>
          <th scope="col">State</th>
          <th scope="col" className="num">
            Reward, {COIN}
          </th>
          <th scope="col" className="num">
            Effort
          </th>
          <th scope="col" className="num">
            Round
          </th>
          {finder && <th scope="col">Finder</th>}
          <th scope="col" className="num">
            Found
          </th>
        </tr>
      </thead>
      <tbody>
        {blocks.map((block) => (
          <tr key={block.hash} data-testid="block-row" data-state={block.state}>
            <th scope="row" title={block.hash}>
              {formatInteger(block.height)}
            </th>
            <td data-label="State">
              <BlockStateCell block={block} />
            </td>
            <td data-label="Reward" className="num">
              <Amount atoms={block.reward} />
            </td>
            <td data-label="Effort" className={`num effort-text tone-${effortTone(block.effort_pct)}`}>
              {formatPercent(block.effort_pct)}
            </td>
            <td data-label="Round" className="num quiet">
              {formatDuration(block.duration_seconds)}
            </td>
            {finder && (
              <td data-label="Finder" className="quiet">
                <span className="mono">{block.finder ?? UNKNOWN}</span>
              </td>
            )}
            <td data-label="Found" className="num quiet">
              <Ago time={block.found_at} nowMs={nowMs} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function BlockStateCell({ block }: { block: Block }) {
  const stage = blockStage(block);
  const words = blockWords(block);
  return (
    <span className={`state tone-${stage === "orphaned" ? "bad" : stage}`}>
      <span className="badge">{words}</span>
      {stage === "confirming" && <Bar part={blockProgress(block)} label={words} tone={stage} />}
    </span>
  );
}

export function PayoutsTable({ payouts, nowMs }: { payouts: readonly Payout[]; nowMs: number }) {
  if (payouts.length === 0) return <p className="empty">No payout has been made yet.</p>;
  return (
    <table className="table">
      <caption className="sr-only">Recent payouts, newest first</caption>
      <thead>
        <tr>
          <th scope="col">State</th>
          <th scope="col" className="num">
            Amount, {COIN}
          </th>
          <th scope="col" className="num">
            Network fee
          </th>
          <th scope="col" className="num">
            Miners
          </th>
          <th scope="col">Transaction</th>
          <th scope="col" className="num">
            When
          </th>
        </tr>
      </thead>
      <tbody>
        {payouts.map((payout) => (
          <tr key={payout.intent_id} data-testid="payout-row" data-state={payout.state} data-intent={payout.intent_id}>
            <td data-label="State">
              <PayoutStateCell payout={payout} />
            </td>
            <td data-label="Amount" className="num strong">
              <Amount atoms={payout.total_amount} />
            </td>
            <td data-label="Network fee" className="num quiet">
              <Amount atoms={payout.total_fee} />
            </td>
            <td data-label="Miners" className="num">
              {formatInteger(payout.recipient_count)}
            </td>
            <td data-label="Transaction" className="quiet">
              <Transactions hashes={payout.tx_hashes} />
            </td>
            <td data-label="When" className="num quiet">
              <Ago time={payout.timestamp} nowMs={nowMs} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function PayoutStateCell({ payout }: { payout: Payout }) {
  const bad = payout.attention !== null || payout.state === "released";
  const tone = bad ? "bad" : payout.state === "settled" ? "settled" : "paid";
  return (
    <span className={`state tone-${tone}`}>
      <span className="badge">{payoutWords(payout)}</span>
      {payout.attention !== null && <span className="state-note">{payout.attention}</span>}
    </span>
  );
}

export function Transactions({ hashes }: { hashes: readonly string[] }) {
  const [first, ...others] = hashes;
  if (first === undefined) return <>{UNKNOWN}</>;
  return (
    <span className="mono" title={hashes.join("\n")}>
      {shorten(first, 8, 6)}
      {others.length > 0 && ` +${others.length}`}
    </span>
  );
}
