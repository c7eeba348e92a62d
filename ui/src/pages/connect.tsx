import type { Info } from "../api/types.ts";
import { CopyText } from "../components/copy.tsx";
import { Panel } from "../components/panel.tsx";
import { COIN, exactAmount, formatDuration, formatInteger, formatPercent, UNKNOWN } from "../format.ts";

export function ConnectPage({ info }: { info: Info | null }) {
  return (
    <div className="grid">
      <div className="span-12 lookup">
        <h1>Connect a miner</h1>
      </div>
      {info === null ? (
        <p className="notice span-12" role="status">
          Waiting for the pool to say how it can be reached.
        </p>
      ) : (
        <Instructions info={info} />
      )}
    </div>
  );
}

function Instructions({ info }: { info: Info }) {
  const endpoint = stratumEndpoint(info, window.location.hostname);
  return (
    <>
      <Panel title="Where to point it" className="span-7">
        <div className="prose">
          <p>Give your miner this pool and your own payout address. There is nothing to register.</p>
          <p>
            <CopyText text={`stratum+tcp://${endpoint}`} label="the pool address" />
          </p>
          {isLocalOnly(info.stratum_listen) && (
            <p className="hint">This pool listens on its own machine only. Its operator opens it to others on purpose.</p>
          )}
          <h3>What your miner must speak</h3>
          <ul>
            <li>Plain TCP, one JSON object per line, at most 8,192 bytes each.</li>
            <li>
              Log in with protocol version 2 and the capability <code>submit_claimed_hash</code>: every submit carries the hash
              it claims.
            </li>
            <li>
              Payout addresses are checked at login. The worker name is yours to choose; without one it is <code>default</code>.
            </li>
            <li>
              When a submit is answered <code>server busy, retry</code>, the share is not counted yet: send it again.
            </li>
            <li>A share that is accepted is on disk before the answer leaves the pool.</li>
          </ul>
          <h3>Log in by hand</h3>
          <pre>
            <code>{loginLine()}</code>
          </pre>
        </div>
      </Panel>
      <Panel title="Terms" className="span-5">
        <dl className="pairs pairs-list">
          {terms(info).map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      </Panel>
    </>
  );
}

/** The host comes from the pool's public address when it has one, else from where this page is. */
export function stratumEndpoint(info: Pick<Info, "pool_url" | "stratum_port">, pageHost: string): string {
  const named = URL.canParse(info.pool_url) ? new URL(info.pool_url).hostname : "";
  return `${named || pageHost || "127.0.0.1"}:${info.stratum_port}`;
}

/** Whether none of the places that the pool listens on can be reached from another machine. */
export function isLocalOnly(listen: string): boolean {
  return listen.split(",").every((place) => /^\s*(127\.|\[::1\]|localhost:)/i.test(place));
}

function loginLine(): string {
  const capabilities = ["login_negotiation", "share_validation_status", "submit_claimed_hash", "difficulty_hint"];
  const params = { address: "YOUR_ADDRESS", worker: "rig-01", protocol_version: 2, capabilities };
  return JSON.stringify({ id: 1, method: "login", params });
}

function rewards(info: Info): string {
  switch (info.payout_scheme) {
    case "proportional":
      return "by the work since the block before";
    case "solo":
      return "all to the finder of a block";
    default:
      return `${info.payout_scheme.toUpperCase()} over ${info.pplns_window_duration}`;
  }
}

function terms(info: Info): [string, string][] {
  const networkFee = info.network_fee_policy === "pool" ? "borne by the pool" : "shared by the recipients";
  return [
    ["Network", info.network],
    ["Pool fee", formatPercent(info.pool_fee_pct, info.fee_bps % 100 === 0 ? 0 : 2)],
    ["Rewards", rewards(info)],
    ["Credited after", `${formatInteger(info.blocks_before_payout)} confirmations`],
    ["Smallest payout", `${exactAmount(info.min_payout_atoms)} ${COIN}`],
    ["Payouts every", formatDuration(info.payout_interval_seconds)],
    ["Fee of a payout", networkFee],
    ["Settled after", `${formatInteger(info.settle_depth)} confirmations`],
    ["Software", `meshpool ${info.version || UNKNOWN}`],
  ];
}
