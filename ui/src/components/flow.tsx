/** Blocks and payouts on their way, stage by stage. */

import type { Block, Payout, PayoutStats } from "../api/types.ts";
import { COIN, exactAmount, formatAmount, formatDuration, formatInteger, plural } from "../format.ts";
import { blockProgress, blockStage, confirmationsText, payoutStage, payoutWords, STAGES } from "../live/stages.ts";
import type { Stage } from "../live/stages.ts";
import { Bar } from "./panel.tsx";

interface FlowProps {
  blocks: readonly Block[];
  payouts: readonly Payout[];
  balances: PayoutStats | null;
}

const CHIPS_MAX = 3;

export function Flow({ blocks, payouts, balances }: FlowProps) {
  return (
    <ol className="flow">
      {STAGES.map(({ stage, title, explain }) => (
        <li key={stage} className={`flow-stage stage-${stage}`} data-testid={`stage-${stage}`}>
          <h3 title={explain}>
            <span className="flow-dot" aria-hidden="true" />
            {title}
          </h3>
          <p className="flow-explain">{explain}</p>
          <Chips stage={stage} blocks={blocks} payouts={payouts} />
          {stage === "credited" && <Waiting balances={balances} />}
        </li>
      ))}
    </ol>
  );
}

function Chips({ stage, blocks, payouts }: { stage: Stage } & Pick<FlowProps, "blocks" | "payouts">) {
  const chips = [
    ...blocks.filter((b) => blockStage(b) === stage).map((block) => <BlockChip key={block.hash} block={block} />),
    ...payouts
      .filter((p) => payoutStage(p) === stage)
      .map((payout) => <PayoutChip key={payout.intent_id} payout={payout} />),
  ];
  // Only stages that something leaves have a meaningful rest; "credited" and "settled" go on for ever.
  const more = stage === "found" || stage === "confirming" || stage === "paid" ? chips.length - CHIPS_MAX : 0;
  return (
    <ul className="chips">
      {chips.slice(0, CHIPS_MAX)}
      {more > 0 && <li className="chip-more">and {formatInteger(more)} more</li>}
      {chips.length === 0 && <li className="chip-none">none now</li>}
    </ul>
  );
}

function BlockChip({ block }: { block: Block }) {
  const stage = blockStage(block);
  const confirming = stage === "confirming";
  return (
    <li className="chip">
      <span className="chip-line">
        <strong>{formatInteger(block.height)}</strong>
        <span>{confirming ? confirmationsText(block) : stage === "credited" ? `${formatAmount(block.reward)} ${COIN}` : ""}</span>
      </span>
      {confirming && <Bar part={blockProgress(block)} label={`${confirmationsText(block)} confirmations`} tone="confirming" />}
    </li>
  );
}

function PayoutChip({ payout }: { payout: Payout }) {
  return (
    <li className={`chip${payout.attention === null ? "" : " chip-bad"}`} title={payout.attention ?? undefined}>
      <span className="chip-line">
        <strong title={`${exactAmount(payout.total_amount)} ${COIN}`}>{formatAmount(payout.total_amount)}</strong>
        <span>{payoutStage(payout) === "settled" ? plural(payout.recipient_count, "miner") : payoutWords(payout)}</span>
      </span>
    </li>
  );
}

function Waiting({ balances }: { balances: PayoutStats | null }) {
  if (balances === null) return null;
  const { unpaid_count: miners, unpaid_amount: amount, next_sweep_in_seconds: next } = balances;
  if (miners === 0) return <p className="flow-note">No balance is waiting.</p>;
  return (
    <p className="flow-note" title={`${exactAmount(amount)} ${COIN}`}>
      {formatAmount(amount)} {COIN} owed to {plural(miners, "miner")}
      {next !== null && <>, next payout in {formatDuration(next)}</>}
    </p>
  );
}
