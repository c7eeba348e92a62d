/**
 * A pool that exists only as arithmetic: every answer is a pure function of the seconds since its
 * start, so that the page can be developed, tested and photographed without a pool.
 */

const BLOCK_EVERY_S = 11;
const TIP_EVERY_S = 3;
const CONFIRMATIONS = 3;
const SETTLE_AFTER_S = 12;
const REWARD = 72_325_093_035;
const BASE_HEIGHT = 40;
const EPOCH_DIFFICULTY = 60;

export const MINERS = [
  "9fKqT1mYy3nCqGm8wV4eX2pR7sZ6uHbJdLkQaWcEvNtVt3e",
  "9aB7wQ2rXc5dTf8gYh1jUk4lMn6oPp9sEv3zRt0iKu5xNqLm",
];

/** Small, repeatable noise in 0..1. */
function noise(seed) {
  const x = Math.sin(seed * 127.1 + 311.7) * 43758.5453;
  return x - Math.floor(x);
}

function hex(seed, length = 64) {
  let out = "";
  for (let i = 0; out.length < length; i += 1) {
    out += Math.floor(noise(seed * 31 + i) * 0xffffffff)
      .toString(16)
      .padStart(8, "0");
  }
  return out.slice(0, length);
}

function foundAtS(n) {
  return 4 + n * BLOCK_EVERY_S + noise(n) * 6;
}

export class World {
  /** `historyS` seconds of past are there from the start; 0 begins with an empty pool. */
  constructor({ startMs = Date.now(), historyS = 0 } = {}) {
    this.epochMs = startMs - historyS * 1000;
  }

  seconds(nowMs = Date.now()) {
    return (nowMs - this.epochMs) / 1000;
  }

  time(s) {
    return new Date(this.epochMs + s * 1000).toISOString();
  }

  tip(t) {
    return BASE_HEIGHT + Math.floor(t / TIP_EVERY_S);
  }

  blocks(t) {
    const blocks = [];
    for (let n = 0; foundAtS(n) <= t; n += 1) blocks.push(this.block(n, t));
    return blocks.reverse();
  }

  block(n, t) {
    const at = foundAtS(n);
    const height = this.tip(at) + 1;
    const confirmations = Math.max(0, this.tip(t) - height);
    const lost = n % 9 === 5 && t - at > 5;
    const age = t - at;
    const credited = confirmations >= CONFIRMATIONS;
    const state = lost ? "lost" : credited ? "credited" : age > 1 ? "seen" : "submitted";
    const started = n === 0 ? 0 : foundAtS(n - 1);
    return {
      height,
      hash: hex(n + 1),
      difficulty: EPOCH_DIFFICULTY,
      finder: `${MINERS[n % 2].slice(0, 4)}…${MINERS[n % 2].slice(-4)}`,
      finder_worker: n % 2 === 0 ? "rig-01" : "rig-02",
      reward: REWARD - n * 52_113,
      found_at: this.time(at),
      state,
      confirmations: lost ? 0 : Math.min(confirmations, CONFIRMATIONS),
      confirmations_required: CONFIRMATIONS,
      confirmed: credited && !lost,
      orphaned: lost,
      paid_out: credited && !lost,
      effort_pct: 18 + noise(n + 40) * 210,
      duration_seconds: Math.round(at - started),
    };
  }

  /** Every credited block is paid two seconds later, to both miners. */
  payouts(t) {
    const payouts = [];
    for (const block of this.blocks(t).filter((b) => b.state === "credited").reverse()) {
      const n = payouts.length;
      const at = (Date.parse(block.found_at) - this.epochMs) / 1000 + (CONFIRMATIONS + 1) * TIP_EVERY_S + 2;
      if (at > t) continue;
      const age = t - at;
      const state =
        age < 1 ? "reserved" : age < 4 ? "broadcast" : age < SETTLE_AFTER_S ? "confirmed" : "settled";
      payouts.push({
        intent_id: n + 1,
        state,
        total_amount: Math.floor(block.reward * 0.99),
        total_fee: 48_000,
        recipient_count: 2,
        tx_hashes: state === "reserved" ? [] : [hex(n + 900)],
        timestamp: this.time(at),
        confirmed: state === "confirmed" || state === "settled",
        attention: null,
      });
    }
    return payouts.reverse();
  }

  stats(t) {
    const blocks = this.blocks(t);
    const payouts = this.payouts(t);
    const lost = blocks.filter((b) => b.orphaned).length;
    const credited = blocks.filter((b) => b.state === "credited");
    const creditedSum = credited.reduce((sum, b) => sum + Math.floor(b.reward * 0.99), 0);
    const paid = payouts.filter((p) => p.confirmed).reduce((sum, p) => sum + p.total_amount, 0);
    const pending = creditedSum - payouts.reduce((sum, p) => sum + p.total_amount, 0);
    const shares = Math.floor(t * 1.9);
    const verified = Math.floor(shares * 0.31);
    const roundStart = blocks[0] === undefined ? 0 : (Date.parse(blocks[0].found_at) - this.epochMs) / 1000;
    const work = Math.floor((t - roundStart) * 12);
    const expected = EPOCH_DIFFICULTY * 2;
    const hashrate = Math.max(0, 19.4 + 1.8 * Math.sin(t / 17) + 1.1 * Math.sin(t / 5.3) - 14 * Math.exp(-t / 12));
    return {
      pool: {
        miners: 2,
        workers: 2,
        hashrate,
        shares_accepted: shares,
        shares_rejected: Math.floor(shares * 0.004),
        shares_verified: verified,
        shares_provisional: shares - verified,
        total_shares: shares + Math.floor(shares * 0.004),
        blocks_found: blocks.length,
        orphaned_blocks: lost,
        orphan_rate_pct: blocks.length === 0 ? 0 : (lost / blocks.length) * 100,
        total_blocks: blocks.length,
        pool_fees_collected: credited.reduce((sum, b) => sum + b.reward - Math.floor(b.reward * 0.99), 0),
        paid_to_miners_total: paid,
        last_share_at: shares === 0 ? null : this.time(t - 0.6),
      },
      chain: {
        current_job_height: this.tip(t) + 1,
        network_difficulty: EPOCH_DIFFICULTY,
        network_hashrate: EPOCH_DIFFICULTY / TIP_EVERY_S + 6,
        daemon_chain_height: this.tip(t),
        daemon_syncing: false,
      },
      round: {
        round_start: this.time(roundStart),
        round_work: work,
        expected_work: expected,
        effort_pct: (work / expected) * 100,
      },
      validation: {
        in_flight: 1,
        candidate_queue_depth: 0,
        regular_queue_depth: Math.floor(noise(Math.floor(t)) * 4),
        audit_debt: 0,
        total_shares: shares,
        sampled_shares: verified,
        invalid_samples: 0,
        pending_provisional: shares - verified,
        fraud_detections: 0,
      },
      payouts: {
        unpaid_count: pending > 0 ? 2 : 0,
        unpaid_amount: pending,
        pending_count: 0,
        pending_total_amount: 0,
        next_sweep_in_seconds: 2 - (Math.floor(t) % 2),
        last_payout_at: payouts[0]?.timestamp ?? null,
      },
      ledger: { durable_seq: shares, folded_seq: Math.max(0, shares - Math.floor(noise(t) * 3)) },
    };
  }

  info() {
    return {
      pool_name: "Meshpool devnet",
      pool_url: "",
      version: "0.1.0",
      network: "devnet",
      stratum_port: 3333,
      stratum_listen: "127.0.0.1:3333",
      pool_fee_pct: 1,
      fee_bps: 100,
      min_payout_atoms: 10_000_000,
      blocks_before_payout: CONFIRMATIONS,
      payout_scheme: "pplns",
      pplns_window_duration: "6h",
      payout_interval_seconds: 2,
      network_fee_policy: "recipients",
      settle_depth: 3,
      started_at: this.time(0),
    };
  }

  miner(address, t) {
    const index = MINERS.indexOf(address);
    if (index < 0) return null;
    const payouts = this.payouts(t);
    const half = (sum) => Math.floor(sum / 2);
    return {
      address,
      hashrate: 9.6 + Math.sin(t / 9),
      mining_since: this.time(0),
      total_accepted: Math.floor(t),
      total_rejected: Math.floor(t / 260),
      balance: {
        pending: half(this.stats(t).payouts.unpaid_amount),
        pending_confirmed: half(this.stats(t).payouts.unpaid_amount),
        pending_queued: half(payouts.filter((p) => !p.confirmed).reduce((sum, p) => sum + p.total_amount, 0)),
        pending_unqueued: 0,
        paid: half(this.stats(t).pool.paid_to_miners_total),
      },
      pending_estimate: { estimated_pending: half(REWARD), blocks: [] },
      payouts: payouts.slice(0, 12).map((p) => ({
        amount: half(p.total_amount),
        fee: half(p.total_fee),
        tx_hash: p.tx_hashes[0] ?? null,
        timestamp: p.timestamp,
        confirmed: p.confirmed,
      })),
      workers: [
        {
          worker: index === 0 ? "rig-01" : "rig-02",
          hashrate: 9.6 + Math.sin(t / 9),
          accepted: Math.floor(t),
          rejected: Math.floor(t / 260),
          last_share_at: this.time(t - 0.8),
        },
      ],
      blocks_found: this.blocks(t).filter((_, i) => i % 2 === index),
      blocks_found_total: this.blocks(t).filter((_, i) => i % 2 === index).length,
    };
  }
}
