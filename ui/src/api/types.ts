/**
 * What the pool's HTTP API answers, as far as this page reads it.
 *
 * Amounts are integers in atoms (100,000,000 atoms are one coin), hashrates are hashes per second,
 * times are RFC 3339 strings. A field the pool cannot know yet is `null`.
 */

export interface Info {
  pool_name: string;
  pool_url: string;
  version: string;
  network: string;
  stratum_port: number;
  stratum_listen: string;
  pool_fee_pct: number;
  fee_bps: number;
  min_payout_atoms: number;
  blocks_before_payout: number;
  payout_scheme: string;
  pplns_window_duration: string;
  payout_interval_seconds: number;
  /** Who bears the fee of a payout transaction: `recipients` or `pool`. */
  network_fee_policy: string;
  settle_depth: number;
  started_at: string;
}

export interface PoolStats {
  miners: number;
  workers: number;
  hashrate: number;
  shares_accepted: number;
  shares_rejected: number;
  shares_verified: number;
  shares_provisional: number;
  total_shares: number;
  blocks_found: number;
  orphaned_blocks: number;
  orphan_rate_pct: number;
  total_blocks: number;
  pool_fees_collected: number;
  paid_to_miners_total: number;
  last_share_at: string | null;
}

export interface ChainStats {
  current_job_height: number | null;
  network_difficulty: number | null;
  network_hashrate: number | null;
  daemon_chain_height: number | null;
  daemon_syncing: boolean | null;
}

export interface RoundStats {
  /** `null` before the pool's first share. */
  round_start: string | null;
  round_work: number;
  expected_work: number | null;
  effort_pct: number | null;
}

export interface ValidationStats {
  in_flight: number;
  candidate_queue_depth: number;
  regular_queue_depth: number;
  audit_debt: number;
  total_shares: number;
  sampled_shares: number;
  invalid_samples: number;
  pending_provisional: number;
  fraud_detections: number;
}

export interface PayoutStats {
  /** Miners with a balance that no payout has taken yet, and what they are owed. */
  unpaid_count: number;
  unpaid_amount: number;
  /** Payouts under way. */
  pending_count: number;
  pending_total_amount: number;
  next_sweep_in_seconds: number | null;
  last_payout_at: string | null;
}

export interface LedgerStats {
  durable_seq: number;
  folded_seq: number;
}

export interface Stats {
  pool: PoolStats;
  chain: ChainStats;
  round: RoundStats;
  validation: ValidationStats;
  payouts: PayoutStats;
  ledger: LedgerStats;
}

export type BlockState =
  | "candidate"
  | "submitted"
  | "seen"
  | "confirmed"
  | "credited"
  | "displaced"
  | "reversed"
  | "lost";

export interface Block {
  height: number;
  hash: string;
  difficulty: number;
  /** Shortened by the pool: full addresses are nobody else's business. */
  finder: string | null;
  finder_worker: string | null;
  reward: number;
  found_at: string;
  state: BlockState;
  confirmations: number;
  confirmations_required: number;
  confirmed: boolean;
  orphaned: boolean;
  /** Credited to balances; coins leave with a later payout. */
  paid_out: boolean;
  effort_pct: number | null;
  duration_seconds: number | null;
}

export type PayoutState =
  | "planned"
  | "reserved"
  | "unknown"
  | "broadcast"
  | "confirmed"
  | "settled"
  | "released";

export interface Payout {
  intent_id: string | number;
  state: PayoutState;
  total_amount: number;
  total_fee: number;
  recipient_count: number;
  tx_hashes: string[];
  timestamp: string;
  confirmed: boolean;
  /** Why an operator has to look at it; `null` when nobody has to. */
  attention: string | null;
}

export interface Page<T> {
  items: T[];
  page: { limit: number; offset: number; returned: number; total: number };
}

export interface MinerBalance {
  pending: number;
  pending_confirmed: number;
  pending_queued: number;
  pending_unqueued: number;
  paid: number;
}

export interface MinerWorker {
  worker: string;
  hashrate: number;
  accepted: number;
  rejected: number;
  last_share_at: string | null;
}

export interface MinerPayout {
  amount: number;
  fee: number;
  tx_hash: string | null;
  timestamp: string;
  confirmed: boolean;
}

export interface Miner {
  address: string;
  hashrate: number;
  mining_since: string | null;
  total_accepted: number;
  total_rejected: number;
  balance: MinerBalance;
  pending_estimate: { estimated_pending: number; blocks: unknown[] } | null;
  payouts: MinerPayout[];
  workers: MinerWorker[];
  /** The newest ones; `blocks_found_total` counts them all. */
  blocks_found: Block[];
  blocks_found_total: number;
}

export interface Readiness {
  ready: boolean;
  reasons: string[];
}
