//! `AuditSampler`: before a block is credited, every payee gets enough verified work.
//!
//! Sampling may have missed a small miner altogether, and then all of its work would count for nothing. There are
//! hours between a block and its credit: shares are drawn from the books by chance, so that no miner knows which, and
//! recomputed by lanes that have nothing else to do. The credit waits for that, though not for ever.
//!
//! What it refuses to do: judge, and look into another host's log.
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use accounting::{Rules, Scheme};
use chain::{HeaderBase, Target};
use messages::facts::{LocalIds, Origin, Template, WorkerIdentity};
use messages::validation::{BookedShare, ChooseRechecks, OfferRechecks};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use runtime::{Actor, Fault, Handler, Recipient, Reply};
use serde_json::value::RawValue;
use store::blocks::{Block, BlockState};
use store::rechecks::{UncheckedShare, WorkSegment};
use store::{Store, StoreError};
use tracing::{debug, warn};
use units::{Amount, BasisPoints, BlockRowId, Difficulty, HostId, MinerId, Seq, Work};

use crate::metrics::ValidationMetrics;

/// Shares chosen at once: as many as may wait.
const CHOSEN_AT_ONCE: usize = crate::RECHECKS_MAX;
/// Waiting blocks that one look goes through. There are rarely more than a few.
const BLOCKS_PER_LOOK: usize = 16;
/// Shares taken from one segment before another one is drawn.
const PER_SEGMENT: usize = 4;
/// Segments drawn for one payee and look.
const DRAWS: usize = 8;
/// Segments of one payee that are drawn from.
const SEGMENTS_MAX: i64 = 2_000;
/// A chosen share has its verdict in the books by then, or is chosen again.
const CHOSEN_FOR: Duration = Duration::from_secs(600);

/// What the actor is built from. Cloned for every generation.
#[derive(Clone)]
pub struct AuditSamplerParts {
    /// The books.
    pub store: Store,
    /// Whose log the shares stand in.
    pub host: HostId,
    /// How many times its verified work a miner's provisional work counts; without a limit nothing needs a check.
    pub cap: Option<NonZeroU64>,
    /// Local ids of lines and templates.
    pub ids: Arc<LocalIds>,
    /// Takes the shares.
    pub validation: Recipient<OfferRechecks>,
    /// What it counts.
    pub metrics: Arc<ValidationMetrics>,
    /// Seeds the draw; from the system's chance in production.
    pub seed: fn() -> [u8; 32],
}

/// The actor.
pub struct AuditSampler {
    parts: AuditSamplerParts,
    chance: StdRng,
    /// Shares that are on their way.
    chosen: HashMap<Seq, Instant>,
    /// Blocks whose payees have enough.
    met: HashSet<BlockRowId>,
    turn: usize,
    is_failing: bool,
}

impl AuditSampler {
    /// A factory for the supervisor.
    pub fn factory(parts: AuditSamplerParts) -> impl Fn() -> AuditSampler {
        move || AuditSampler {
            chance: StdRng::from_seed((parts.seed)()),
            parts: parts.clone(),
            chosen: HashMap::new(),
            met: HashSet::new(),
            turn: 0,
            is_failing: false,
        }
    }

    /// Looks at waiting blocks, some at a time.
    async fn look(&mut self) -> Result<(), StoreError> {
        let Some(cap) = self.parts.cap else { return Ok(()) };
        if self.parts.metrics.rechecks_waiting.get() > 0 {
            return Ok(()); // The lanes have no time for more.
        }
        let is_unweighed =
            |block: &Block| matches!(block.state, BlockState::Candidate | BlockState::Submitted | BlockState::Seen);
        let mut blocks = self.parts.store.block_list_open().await?;
        blocks.retain(is_unweighed);
        self.met.retain(|met| blocks.iter().any(|block| block.id == *met));
        blocks.retain(|block| !self.met.contains(&block.id));
        if blocks.is_empty() {
            return Ok(());
        }
        self.chosen.retain(|_, at| at.elapsed() < CHOSEN_FOR);
        let mut offer = Vec::new();
        for _ in 0..blocks.len().min(BLOCKS_PER_LOOK) {
            self.turn = (self.turn + 1) % blocks.len();
            self.look_at(blocks[self.turn].id, cap, &mut offer).await?;
            if offer.len() >= CHOSEN_AT_ONCE {
                break;
            }
        }
        self.hand_over(offer);
        Ok(())
    }

    /// Chooses shares of whoever needs more verified work in this block.
    async fn look_at(
        &mut self,
        block: BlockRowId,
        cap: NonZeroU64,
        offer: &mut Vec<BookedShare>,
    ) -> Result<(), StoreError> {
        let rules = Rules {
            scheme: Scheme::Pplns,
            fee_bps: BasisPoints::default(),
            fee_flat: Amount::ZERO,
            finder_bonus_bps: BasisPoints::default(),
            provisional_cap_multiplier: Some(cap.get()),
        };
        let (works, _) = self.parts.store.block_window_work(block).await?;
        let mut is_met = true;
        for work in works {
            let missing = rules.missing_verified(work.verified, work.provisional);
            if missing > Work::ZERO {
                is_met = false;
                if offer.len() < CHOSEN_AT_ONCE {
                    self.choose(block, work.miner, missing, offer).await?;
                }
            }
        }
        if is_met {
            self.met.insert(block);
        }
        Ok(())
    }

    fn hand_over(&mut self, offer: Vec<BookedShare>) {
        if offer.is_empty() {
            return;
        }
        let (many, seqs): (_, Vec<Seq>) = (offer.len() as u64, offer.iter().map(|share| share.seq).collect());
        match self.parts.validation.tell(OfferRechecks(offer)) {
            Ok(()) => {
                self.parts.metrics.rechecks_total.add(many);
                let now = Instant::now();
                self.chosen.extend(seqs.into_iter().map(|seq| (seq, now)));
            }
            Err(_) => debug!("validation is busy; shares are drawn again"),
        }
    }

    /// Draws shares of one payee that are worth `missing`, or as much as there is.
    async fn choose(
        &mut self,
        block: BlockRowId,
        miner: MinerId,
        missing: Work,
        offer: &mut Vec<BookedShare>,
    ) -> Result<(), StoreError> {
        let mut missing = missing.get();
        let segments = self.parts.store.window_segments(block, self.parts.host, miner, SEGMENTS_MAX).await?;
        for _ in 0..DRAWS {
            let Some(segment) = self.draw(&segments) else { return Ok(()) };
            let mut shares = self.parts.store.unchecked_shares(self.parts.host, segment).await?;
            let is_here = |seq: Seq| offer.iter().any(|other: &BookedShare| other.seq == seq);
            shares.retain(|share| !self.chosen.contains_key(&share.seq) && !is_here(share.seq));
            shares.shuffle(&mut self.chance);
            for share in shares.into_iter().take(PER_SEGMENT) {
                if missing == 0 || offer.len() >= CHOSEN_AT_ONCE {
                    return Ok(());
                }
                let worth = share.difficulty.get();
                if let Some(share) = self.booked(segment, share).await? {
                    missing = missing.saturating_sub(worth);
                    offer.push(share);
                }
            }
        }
        Ok(())
    }

    /// One segment, by chance that follows the work.
    fn draw<'a>(&mut self, segments: &'a [WorkSegment]) -> Option<&'a WorkSegment> {
        let all: u128 = segments.iter().map(|segment| u128::from(segment.work.get())).sum();
        if all == 0 {
            return None;
        }
        let mut at = self.chance.random_range(0..all);
        segments.iter().find(|segment| {
            let work = u128::from(segment.work.get());
            let is_it = at < work;
            at = at.saturating_sub(work);
            is_it
        })
    }

    async fn booked(&self, segment: &WorkSegment, share: UncheckedShare) -> Result<Option<BookedShare>, StoreError> {
        let Some(template) = self.parts.store.template_find(&share.merkle_root).await? else { return Ok(None) };
        let Ok(header) = <[u8; 92]>::try_from(template.header_base.as_slice()) else { return Ok(None) };
        let header = HeaderBase::from_bytes(header);
        let difficulty = Difficulty::new(header.difficulty()).unwrap_or(Difficulty::MAX);
        let template = Template {
            local_id: self.parts.ids.take(),
            header_base: header,
            height: header.height(),
            prev_hash: header.prev_hash(),
            merkle_root: header.merkle_root(),
            network_target: Target::from_difficulty(difficulty),
            network_difficulty: difficulty,
            reward: template.reward,
            reward_address: String::new(),
            daemon_id: None,
            issuer: None,
            block: RawValue::NULL.to_owned(),
            mempool_generation: None,
            fetched_at: template.seen_at,
            retired_at: std::sync::OnceLock::new(),
            defined_in: AtomicU64::new(0),
        };
        let line = WorkerIdentity {
            local_id: self.parts.ids.take(),
            address: segment.line.address.as_str().into(),
            worker: segment.line.worker.as_str().into(),
            origin: Origin(segment.line.origin),
            defined_in: AtomicU64::new(0),
        };
        Ok(Some(BookedShare {
            seq: share.seq,
            minute: share.minute,
            line: Arc::new(line),
            template: Arc::new(template),
            nonce: share.nonce,
            difficulty: share.difficulty,
            claimed_hash: None,
            received_at: share.received_at,
            claims_block: false,
            verified: false,
            session: None,
            place: None,
        }))
    }
}

impl Actor for AuditSampler {
    const NAME: &'static str = "rechecker";
}

impl Handler<ChooseRechecks> for AuditSampler {
    async fn handle(&mut self, _: ChooseRechecks, reply: Reply<ChooseRechecks>) -> Result<(), Fault> {
        match self.look().await {
            Ok(()) => self.is_failing = false,
            Err(error) if self.is_failing => debug!(%error, "audit sampling still fails"),
            Err(error) => {
                self.is_failing = true;
                warn!(%error, "audit sampling failed, will retry");
            }
        }
        reply.send(());
        Ok(())
    }
}
