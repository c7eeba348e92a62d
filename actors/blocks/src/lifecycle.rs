//! From a found block to a credit, and back if the chain changes its mind.
use std::collections::HashMap;
use std::time::{Duration, Instant};

use accounting::{Entry, MinerWork, Scheme, allocate};
use daemon::Daemon;
use messages::blocks::LifecycleTick;
use messages::conditions::ConditionKind;
use messages::facts::Tip;
use runtime::{Actor, Fault, Handler, Reply};
use store::blocks::{Block, BlockState, BlockWeight, HELD_UNCHECKED, WindowWork};
use store::ledger::Balances;
use tracing::{info, warn};
use units::{Amount, BlockRowId, PolicyId, Work};

use crate::awaited::Awaited;
use crate::barrier::Barrier;
use crate::error::StepError;
use crate::parts::LifecycleParts;
use crate::policy::Policy;
use crate::sweep::{FINAL_DEPTH, Sweep};

/// A block whose payees' work is not checked enough is looked at again after so long.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Blocks that another chain must be ahead, counted in tips, before a credit is taken back.
const DISPLACED_TIPS: u64 = 3;

/// Follows blocks; see the crate's documentation.
pub struct BlockLifecycle {
    parts: LifecycleParts,
    daemons: Vec<Daemon>,
    sweep: Sweep,
    policies: HashMap<PolicyId, Policy>,
    /// Blocks that waited for checks when they were looked at last.
    unchecked: HashMap<BlockRowId, Instant>,
    awaited: Awaited,
    /// What the last pass without trouble saw: the tip, and the blocks that were open.
    passed: Option<(Tip, Vec<BlockRowId>)>,
    last_logged: Option<String>,
}

impl BlockLifecycle {
    /// On the arbiter that will run it.
    #[must_use]
    pub fn new(parts: LifecycleParts) -> BlockLifecycle {
        let sweep = Sweep {
            store: parts.store.clone(),
            host: parts.host,
            policy: parts.policy,
            window: parts.window,
            clock: parts.clock.clone(),
            barrier: Barrier::new(parts.host, parts.position.clone()),
        };
        let daemons = parts.daemons.iter().map(Daemon::new).collect();
        BlockLifecycle {
            parts,
            daemons,
            sweep,
            policies: HashMap::new(),
            unchecked: HashMap::new(),
            awaited: Awaited::default(),
            passed: None,
            last_logged: None,
        }
    }

    async fn run_once(&mut self, tip: Tip, epoch: i64) -> Result<(), StepError> {
        // Another daemon's block beside this tip could look like a reorganisation.
        let Some(daemon) = self.daemons.get(tip.daemon).cloned() else { return Ok(()) };
        let blocks = self.parts.store.block_list_open().await?;
        let seen = (tip, blocks.iter().map(|block| block.id).collect());
        if self.passed.as_ref() == Some(&seen) {
            return Ok(());
        }
        self.awaited.begin(&self.parts, epoch).await?;
        let mut settled = self.sweep.run_once(&daemon, &seen.0, epoch).await?;
        let mut trouble = None;
        for block in blocks {
            match self.follow(&daemon, &block, &seen.0, epoch).await {
                Ok(done) => settled &= done,
                Err(error) if error.is_of_one_block() => {
                    self.hold(&block, epoch, &error.to_string()).await?;
                    trouble = Some(error);
                }
                Err(error) => return Err(error),
            }
            self.awaited.continue_work(&self.parts, epoch).await?;
        }
        self.awaited.finish(&self.parts, self.sweep.barrier.silent()).await?;
        self.passed = (settled && trouble.is_none()).then_some(seen);
        trouble.map_or(Ok(()), Err)
    }

    /// Notes why a block is not credited although deep enough.
    async fn hold(&self, block: &Block, epoch: i64, why: &str) -> Result<(), StepError> {
        if block.hold_reason.as_deref() == Some(why) {
            return Ok(());
        }
        warn!(height = %block.height, hash = block.hash, why, "block not credited, held");
        Ok(self.parts.store.block_hold(epoch, block.id, Some(why)).await?)
    }

    /// Moves one block as far as it goes now; `false` when it waits for something other than the tip.
    async fn follow(&mut self, daemon: &Daemon, block: &Block, tip: &Tip, epoch: i64) -> Result<bool, StepError> {
        let Some(depth) = block.height.depth_below(tip.height) else { return Ok(true) };
        let Some(at_height) = daemon.block_by_height(block.height).await? else { return Ok(true) };
        if at_height.hash.to_string() != block.hash {
            return self.displaced(block, depth, tip, epoch).await.map(|()| true);
        }
        if block.displaced_at.is_some() {
            self.parts.store.block_displaced(epoch, block.id, None).await?;
        }
        let mut state = block.state;
        if matches!(state, BlockState::Candidate | BlockState::Submitted) {
            self.parts.store.block_move(epoch, block.id, state, BlockState::Seen).await?;
            state = BlockState::Seen;
        }
        let policy = self.policy(block.policy).await?;
        if depth < policy.confirmations {
            return Ok(true);
        }
        if state == BlockState::Seen {
            let lagging = self.parts.store.block_window_close(epoch, block.id).await?;
            if !lagging.is_empty() {
                self.awaited.add(&self.parts, block.id, &lagging).await?;
                let why = format!("hosts have not folded past the block: {}", lagging.join(", "));
                return self.hold(block, epoch, &why).await.map(|()| false);
            }
            // Idle lanes check what chance has missed, so that nobody is zeroed by it; but not for ever.
            if depth < FINAL_DEPTH && !self.is_checked(block, &policy).await? {
                return self.hold(block, epoch, HELD_UNCHECKED).await.map(|()| false);
            }
            self.weigh(block, &policy, epoch).await?;
            state = BlockState::Confirmed;
        }
        if matches!(state, BlockState::Confirmed | BlockState::Reversed) {
            self.credit(block, &policy, epoch).await?;
            state = BlockState::Credited;
            if block.hold_reason.is_some() {
                self.parts.store.block_hold(epoch, block.id, None).await?;
            }
        }
        if state == BlockState::Credited && depth >= FINAL_DEPTH {
            self.parts.store.block_finish(epoch, block.id, (self.parts.clock)()).await?;
        }
        Ok(true)
    }

    async fn displaced(&mut self, block: &Block, depth: u64, tip: &Tip, epoch: i64) -> Result<(), StepError> {
        let store = &self.parts.store;
        let Some(since) = block.displaced_at else {
            info!(height = %block.height, hash = block.hash, "another block is at this height");
            return Ok(store.block_displaced(epoch, block.id, Some(tip.height)).await?);
        };
        let tips = tip.height.get().saturating_sub(since.get());
        if block.state == BlockState::Credited {
            if tips >= DISPLACED_TIPS || depth >= FINAL_DEPTH {
                self.reverse(block, epoch).await?;
            }
        } else if depth >= FINAL_DEPTH && block.state == BlockState::Reversed {
            store.block_finish(epoch, block.id, (self.parts.clock)()).await?;
        } else if depth >= FINAL_DEPTH {
            store.block_move(epoch, block.id, block.state, BlockState::Lost).await?;
        }
        Ok(())
    }

    /// Whether all work in the window counts, so that a check could add nothing to anybody's part. Asked for seldom while
    /// it does not.
    async fn is_checked(&mut self, block: &Block, policy: &Policy) -> Result<bool, StepError> {
        let rules = policy.rules()?;
        if rules.provisional_cap_multiplier.is_none() || rules.scheme == Scheme::Solo {
            return Ok(true);
        }
        let is_recent = |looked: &Instant| looked.elapsed() < LOOK_AGAIN;
        self.unchecked.retain(|_, looked| is_recent(looked));
        if self.unchecked.contains_key(&block.id) {
            return Ok(false);
        }
        let (works, _) = self.parts.store.block_window_work(block.id).await?;
        let counts = |work: &WindowWork| rules.missing_verified(work.verified, work.provisional) == Work::ZERO;
        let is_checked = works.iter().all(counts);
        if !is_checked {
            self.unchecked.insert(block.id, Instant::now());
        }
        Ok(is_checked)
    }

    /// Computes and stores who gets what: once.
    async fn weigh(&self, block: &Block, policy: &Policy, epoch: i64) -> Result<(), StepError> {
        let (works, seen) = self.parts.store.block_window_work(block.id).await?;
        let ids: HashMap<&str, _> = works.iter().map(|work| (work.address.as_str(), work.miner)).collect();
        let input: Vec<_> = works
            .iter()
            .map(|work| MinerWork { key: work.address.clone(), verified: work.verified, provisional: work.provisional })
            .collect();
        let books = |why: String| StepError::Books { hash: block.hash.clone(), why };
        let allocation = allocate(block.reward, block.finder.as_ref(), &input, &policy.rules()?)
            .map_err(|error| books(error.to_string()))?;
        let mut weights = Vec::with_capacity(allocation.lines.len());
        for line in &allocation.lines {
            let miner =
                *ids.get(line.key.as_str()).ok_or_else(|| books("its finder has no share in the window".to_owned()))?;
            let provisional = line.weight.checked_sub(line.verified).unwrap_or_default();
            weights.push(BlockWeight {
                miner,
                verified: line.verified,
                provisional,
                weight: line.weight.to_i64(),
                credit: line.credit,
            });
        }
        let digest = allocation.digest_hex();
        Ok(self.parts.store.block_weights_store(epoch, block.id, weights, &digest, seen).await?)
    }

    async fn credit(&self, block: &Block, policy: &Policy, epoch: i64) -> Result<(), StepError> {
        let reference = reference(&block.hash, block.credits);
        let entry = self.credit_entry(block, policy, reference).await?;
        let at = (self.parts.clock)();
        if self.parts.store.block_credit(epoch, block.id, entry, at).await? {
            info!(height = %block.height, hash = block.hash, reward = %block.reward, "block credited");
        }
        Ok(())
    }

    async fn reverse(&mut self, block: &Block, epoch: i64) -> Result<(), StepError> {
        let policy = self.policy(block.policy).await?;
        let credit = reference(&block.hash, block.credits.saturating_sub(1));
        let credited = self.credit_entry(block, &policy, credit.clone()).await?;
        let undo = reference(&block.hash, block.reversals);
        let at = (self.parts.clock)();
        let build = move |balances: &Balances| {
            let entry = Entry::block_reversed(undo, &credited, |account| balances.of(account));
            entry.expect("a credit of a block can be reversed")
        };
        self.parts.store.block_reverse(epoch, block.id, &credit, at, build).await?;
        warn!(height = %block.height, hash = block.hash, "credited block left the chain, credit reversed");
        Ok(())
    }

    async fn credit_entry(&self, block: &Block, policy: &Policy, reference: String) -> Result<Entry, StepError> {
        let credits: Vec<(String, Amount)> = self.parts.store.block_credits(block.id).await?;
        Entry::block_credited(reference, block.reward, &credits, policy.fee_account())
            .map_err(|error| StepError::Books { hash: block.hash.clone(), why: error.to_string() })
    }

    async fn policy(&mut self, id: PolicyId) -> Result<Policy, StepError> {
        if let Some(policy) = self.policies.get(&id) {
            return Ok(policy.clone());
        }
        let mut policy = Policy::from_json(&self.parts.store.policy_get(id).await?)?;
        if let Some(address) = &policy.fee_address {
            policy.fee_address = Some(self.parts.store.address_now(address).await?);
        }
        self.policies.insert(id, policy.clone());
        Ok(policy)
    }
}

/// An entry's reference: the block, and how often this has happened to it before.
fn reference(hash: &str, before: u64) -> String {
    if before == 0 { hash.to_owned() } else { format!("{hash}:{}", before + 1) }
}

impl Actor for BlockLifecycle {
    const NAME: &'static str = "block_lifecycle";
}

impl Handler<LifecycleTick> for BlockLifecycle {
    async fn handle(&mut self, _: LifecycleTick, reply: Reply<LifecycleTick>) -> Result<(), Fault> {
        let tip = self.parts.tip.borrow().clone();
        let epoch = *self.parts.lease.borrow();
        if let (Some(epoch), true, true) = (epoch, tip.reachable, tip.hash.is_some()) {
            let trouble = self.run_once(tip, epoch).await.err().map(|error| error.to_string());
            if trouble != self.last_logged {
                if let Some(trouble) = &trouble {
                    warn!(trouble, "block tracking failed, will retry");
                }
                self.last_logged = trouble;
            }
        } else if epoch.is_none() {
            // Whoever holds the lease says it.
            self.parts.conditions.clear(ConditionKind::HostsAwaited);
            self.parts.conditions.clear(ConditionKind::HostSilent);
        }
        reply.send(());
        Ok(())
    }
}
