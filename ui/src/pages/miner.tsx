import { useState } from "react";
import type { ReactNode, SubmitEvent } from "react";
import type { Miner, MinerPayout, MinerWorker } from "../api/types.ts";
import { Figure, Panel } from "../components/panel.tsx";
import { Ago, Amount, BlocksTable } from "../components/tables.tsx";
import { COIN, exactAmount, formatAmount, formatCount, formatDateTime, formatHashrate, formatInteger, formatPercent, parseTime, shorten, UNKNOWN } from "../format.ts";
import { freshness } from "../live/freshness.ts";
import { usePolled } from "../live/hooks.ts";
import { minerHref } from "../router.ts";

/** As often as a miner program asks for its own balance. */
const INTERVAL_MS = 5_000;
const LAST_ADDRESS = "meshpool.last_address";

export function MinerPage({ address, nowMs }: { address: string | null; nowMs: number }) {
  return (
    <div className="grid">
      <div className="span-12 lookup">
        <h1>Your miner</h1>
        <Lookup key={address} address={address} />
      </div>
      {address !== null && <MinerView key={address} address={address} nowMs={nowMs} />}
    </div>
  );
}

function Lookup({ address }: { address: string | null }) {
  const [text, setText] = useState(() => address ?? remembered());
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const wanted = text.trim();
    if (wanted === "") return;
    remember(wanted);
    window.location.hash = minerHref(wanted);
  };
  return (
    <form className="lookup-form" onSubmit={submit} role="search">
      <label htmlFor="address">Payout address</label>
      <div className="lookup-row">
        <input
          id="address"
          value={text}
          onChange={(event) => {
            setText(event.target.value);
          }}
          autoComplete="off"
          spellCheck={false}
          maxLength={128}
        />
        <button type="submit">Look up</button>
      </div>
    </form>
  );
}

// Storage can be refused by the browser; forgetting an address is no reason to fail.
function remembered(): string {
  try {
    return localStorage.getItem(LAST_ADDRESS) ?? "";
  } catch {
    return "";
  }
}

function remember(address: string): void {
  try {
    localStorage.setItem(LAST_ADDRESS, address);
  } catch {
    return;
  }
}

function MinerView({ address, nowMs }: { address: string; nowMs: number }) {
  const known = usePolled<Miner>(`/api/miner/${encodeURIComponent(address)}`, INTERVAL_MS);
  const { value: miner, error, errorStatus } = known;
  if (miner === null) {
    if (errorStatus === 404) return <Notice>This pool has never seen a share from this address.</Notice>;
    return <Notice>{error === null ? "Asking the pool…" : `No answer about this address: ${error}. Trying again.`}</Notice>;
  }
  const fresh = freshness(known, nowMs, 3 * INTERVAL_MS);
  return (
    <>
      {fresh.kind === "stale" && <Notice>{fresh.detail}</Notice>}
      <Totals miner={miner} />
      <Panel title="Workers" className="span-6" aside={formatInteger(miner.workers.length)}>
        <Workers workers={miner.workers} nowMs={nowMs} />
      </Panel>
      <Panel title="Payouts" className="span-6" aside={formatInteger(miner.payouts.length)}>
        <Payouts payouts={miner.payouts} nowMs={nowMs} />
      </Panel>
      <Panel title="Blocks found" className="span-12" aside={formatInteger(miner.blocks_found_total)}>
        <BlocksTable blocks={miner.blocks_found} nowMs={nowMs} finder={false} />
      </Panel>
    </>
  );
}

function Notice({ children }: { children: ReactNode }) {
  return (
    <p className="notice span-12" role="status">
      {children}
    </p>
  );
}

function Totals({ miner }: { miner: Miner }) {
  const { balance } = miner;
  const answered = miner.total_accepted + miner.total_rejected;
  const rejected = answered > 0 ? (miner.total_rejected / answered) * 100 : null;
  const estimated = miner.pending_estimate?.estimated_pending ?? null;
  return (
    <dl className="figures span-12" data-testid="miner-totals">
      <Figure label="Hashrate" value={formatHashrate(miner.hashrate)} note={`since ${formatDateTime(parseTime(miner.mining_since))}`} />
      <Figure
        label={`Pending, ${COIN}`}
        value={formatAmount(balance.pending)}
        note={estimated === null ? "credited, not yet paid" : `${formatAmount(estimated)} more expected`}
        title={exactAmount(balance.pending)}
      />
      <Figure
        label={`In flight, ${COIN}`}
        value={formatAmount(balance.pending_queued)}
        note="in a payout on its way"
        title={exactAmount(balance.pending_queued)}
      />
      <Figure label={`Paid, ${COIN}`} value={formatAmount(balance.paid)} note="in all" title={exactAmount(balance.paid)} />
      <Figure
        label="Shares accepted"
        value={formatCount(miner.total_accepted)}
        note={`${formatPercent(rejected, 2)} rejected`}
      />
    </dl>
  );
}

function Workers({ workers, nowMs }: { workers: readonly MinerWorker[]; nowMs: number }) {
  if (workers.length === 0) return <p className="empty">No worker is known.</p>;
  return (
    <table className="table">
      <caption className="sr-only">Workers of this address</caption>
      <thead>
        <tr>
          <th scope="col">Worker</th>
          <th scope="col" className="num">
            Hashrate
          </th>
          <th scope="col" className="num">
            Accepted
          </th>
          <th scope="col" className="num">
            Rejected
          </th>
          <th scope="col" className="num">
            Last share
          </th>
        </tr>
      </thead>
      <tbody>
        {workers.map((worker) => (
          <tr key={worker.worker}>
            <th scope="row">{worker.worker}</th>
            <td data-label="Hashrate" className="num">
              {formatHashrate(worker.hashrate)}
            </td>
            <td data-label="Accepted" className="num">
              {formatInteger(worker.accepted)}
            </td>
            <td data-label="Rejected" className="num quiet">
              {formatInteger(worker.rejected)}
            </td>
            <td data-label="Last share" className="num quiet">
              <Ago time={worker.last_share_at} nowMs={nowMs} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Payouts({ payouts, nowMs }: { payouts: readonly MinerPayout[]; nowMs: number }) {
  if (payouts.length === 0) return <p className="empty">Nothing has been paid to this address yet.</p>;
  return (
    <table className="table">
      <caption className="sr-only">Payouts to this address, newest first</caption>
      <thead>
        <tr>
          <th scope="col" className="num">
            Amount, {COIN}
          </th>
          <th scope="col" className="num">
            Fee
          </th>
          <th scope="col">Transaction</th>
          <th scope="col">State</th>
          <th scope="col" className="num">
            When
          </th>
        </tr>
      </thead>
      <tbody>
        {payouts.map((payout, index) => (
          <tr key={`${payout.tx_hash ?? UNKNOWN}:${payout.timestamp}:${index}`}>
            <td data-label="Amount" className="num strong">
              <Amount atoms={payout.amount} />
            </td>
            <td data-label="Fee" className="num quiet">
              <Amount atoms={payout.fee} />
            </td>
            <td data-label="Transaction" className="mono quiet" title={payout.tx_hash ?? undefined}>
              {shorten(payout.tx_hash, 8, 6)}
            </td>
            <td data-label="State">
              <span className={`state tone-${payout.confirmed ? "settled" : "paid"}`}>
                <span className="badge">{payout.confirmed ? "confirmed" : "on its way"}</span>
              </span>
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
