//! `VoidProcessor`: a pair that sent a false share loses its uncredited work.
//!
//! What a pair has earned and was not paid for yet is its stake: all its unchecked work up to the strike, and of its
//! latest checked work so much as was still to be paid of `2d / p` (see [`crate::stake`]). So a cheater always has more to
//! lose than to win.
//! A void is final. It is found in the books, so it waits until they have all that the log had at the strike.
//!
//! What it refuses to do: judge, touch what is already shared out, and reach beyond the (address, origin).
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use messages::facts::{Clock, LocalIds, LogPosition, Origin, TrustKey, WorkerIdentity};
use messages::share_ledger::{Event, Verdict};
use messages::validation::{LogVerdicts, VoidWork};
use runtime::{Actor, Fault, Handler, Recipient, Reply};
use store::fold::IdentityKey;
use store::rechecks::JudgedShare;
use store::{Store, StoreError};
use tokio::sync::watch;
use tracing::{debug, info, warn};
use units::{HostId, Minute, Seq};

use crate::Penalties;
use crate::metrics::ValidationMetrics;
use crate::penalties::{OwedVoid, VoidPrice};
use crate::stake::StakeWindow;

/// Verdicts of one look.
const AT_ONCE: usize = 1000;
/// Segments of one look; when nothing is left of them the next one goes on behind them.
const SEGMENTS_AT_ONCE: usize = 32;
/// Checked shares read at once. A void that takes more of them reads again.
const VERIFIED_MAX: i64 = 10_000;
/// A verdict is in the books by then, or is sent again.
const SENT_FOR: Duration = Duration::from_secs(60);

/// What the actor is built from. Cloned for every generation.
#[derive(Clone)]
pub struct VoidProcessorParts {
    /// The books.
    pub store: Store,
    /// Whose log the shares stand in.
    pub host: HostId,
    /// Work as old as this is still paid by a block that is found now.
    pub window: Duration,
    /// Who sent false shares.
    pub penalties: Arc<Penalties>,
    /// Brings verdicts to the log.
    pub validation: Recipient<LogVerdicts>,
    /// The log's ends.
    pub position: watch::Receiver<Option<LogPosition>>,
    /// Local ids of lines.
    pub ids: Arc<LocalIds>,
    /// What it counts.
    pub metrics: Arc<ValidationMetrics>,
    /// The wall clock.
    pub clock: Clock,
}

/// The actor.
pub struct VoidProcessor {
    parts: VoidProcessorParts,
    case: Option<Case>,
    is_failing: bool,
}

/// One pair's loss.
struct Case {
    pair: TrustKey,
    void: OwedVoid,
    /// Everything up to here must be in the books before they are asked.
    position: u64,
    /// Work before this minute is paid.
    since: Minute,
    /// Where the next look begins.
    from: Seq,
    /// Checked shares that it loses; nothing until they are chosen.
    verified: Option<Vec<JudgedShare>>,
    sent: HashMap<Seq, Instant>,
    lines: HashMap<String, Arc<WorkerIdentity>>,
}

impl VoidProcessor {
    /// A factory for the supervisor.
    pub fn factory(parts: VoidProcessorParts) -> impl Fn() -> VoidProcessor {
        move || VoidProcessor { parts: parts.clone(), case: None, is_failing: false }
    }

    async fn open_case(&self) -> Result<Option<Case>, StoreError> {
        // Unknown until the log has been opened and looked up in the books.
        let Some(LogPosition { durable: position, .. }) = *self.parts.position.borrow() else { return Ok(None) };
        let Some((pair, void)) = self.parts.penalties.to_void() else { return Ok(None) };
        let window = (self.parts.clock)().minus(self.parts.window);
        let since = self.parts.store.unweighed_since().await?.map_or(window, |start| start.min(window)).minute();
        let (verified, sent, lines) = (None, HashMap::new(), HashMap::new());
        Ok(Some(Case { pair, void, position, since, from: Seq::ZERO, verified, sent, lines }))
    }

    /// Takes one look at one pair's work.
    async fn look(&mut self) -> Result<(), StoreError> {
        if self.case.is_none() {
            self.case = self.open_case().await?;
        }
        let Some(case) = &mut self.case else { return Ok(()) };
        if self.parts.position.borrow().is_none_or(|position| position.folded < case.position) {
            return Ok(());
        }
        let (found, is_left) = case.collect(&self.parts).await?;
        let many = found.len() as u64;
        if !found.is_empty() {
            let seqs: Vec<Seq> = found.iter().map(|share| share.seq).collect();
            let events = found.into_iter().map(|share| case.void(share, &self.parts.ids)).collect();
            if self.parts.validation.tell(LogVerdicts(events)).is_ok() {
                self.parts.metrics.shares_voided_total.add(many);
                case.sent.extend(seqs.into_iter().map(|seq| (seq, Instant::now())));
            }
        } else if !is_left {
            self.parts.penalties.voided(&case.pair, case.void.before);
            info!(address = &*case.pair.0, shares = case.sent.len(), "uncredited work voided");
            self.case = None;
        }
        Ok(())
    }
}

impl Case {
    /// What is to be voided now, and whether anything was seen that is not yet in the books as void.
    async fn collect(&mut self, parts: &VoidProcessorParts) -> Result<(Vec<JudgedShare>, bool), StoreError> {
        let pair = (&*self.pair.0, self.pair.1.0);
        let mut found = Vec::new();
        let mut verified = parts.store.pair_verified(parts.host, pair, self.since, VERIFIED_MAX).await?;
        let last = self.void.before.minute();
        verified.retain(|share| share.minute <= last);
        let is_all = self.void.price.work.is_none();
        let verified = match &self.verified {
            Some(chosen) if !is_all => {
                let still: std::collections::HashSet<Seq> = verified.iter().map(|share| share.seq).collect();
                chosen.iter().filter(|share| still.contains(&share.seq)).cloned().collect()
            }
            _ => {
                let many = lost(&verified, self.void.price, StakeWindow::new(parts.window));
                verified.truncate(many);
                self.verified.insert(verified).clone()
            }
        };
        let mut is_left = !verified.is_empty();
        found.extend(verified.into_iter().filter(|share| self.is_due(share.seq)));
        let max = i64::try_from(SEGMENTS_AT_ONCE).unwrap_or(i64::MAX);
        let segments = parts.store.pair_segments(parts.host, pair, self.since, self.from, max).await?;
        let mut is_page_left = false;
        for segment in &segments {
            if found.len() >= AT_ONCE {
                return Ok((found, true));
            }
            for share in parts.store.unchecked_shares(parts.host, segment).await? {
                if share.received_at > self.void.before {
                    continue;
                }
                is_page_left = true;
                if self.is_due(share.seq) {
                    let line = segment.line.clone();
                    found.push(JudgedShare {
                        line,
                        seq: share.seq,
                        minute: share.minute,
                        difficulty: share.difficulty,
                    });
                }
            }
        }
        is_left |= is_page_left;
        if segments.len() == SEGMENTS_AT_ONCE
            && let Some(last) = segments.last().filter(|_| !is_page_left)
        {
            self.from = last.start_seq;
            is_left = true;
        }
        Ok((found, is_left))
    }

    fn is_due(&self, seq: Seq) -> bool {
        self.sent.get(&seq).is_none_or(|at| at.elapsed() >= SENT_FOR)
    }

    fn void(&mut self, share: JudgedShare, ids: &LocalIds) -> Event {
        let IdentityKey { address, worker, origin } = share.line;
        let line = self.lines.entry(worker).or_insert_with_key(|worker| {
            Arc::new(WorkerIdentity {
                local_id: ids.take(),
                address: address.into(),
                worker: worker.as_str().into(),
                origin: Origin(origin),
                defined_in: AtomicU64::new(0),
            })
        });
        Event::Verdict {
            share: share.seq,
            minute: share.minute,
            line: Arc::clone(line),
            difficulty: share.difficulty,
            verdict: Verdict::Voided,
        }
    }
}

/// How many of these verified shares, the latest first, are lost: until what was still to be paid of them is the price.
pub(crate) fn lost(verified: &[JudgedShare], price: VoidPrice, window: StakeWindow) -> usize {
    let Some(work) = price.work else { return verified.len() };
    let mut left = work.get();
    let is_lost = |share: &&JudgedShare| {
        let is_lost = left > 0;
        left = left.saturating_sub(window.unpaid(share.difficulty.get(), share.minute.start(), price.at));
        is_lost
    };
    verified.iter().take_while(is_lost).count()
}

impl Actor for VoidProcessor {
    const NAME: &'static str = "voider";
}

impl Handler<VoidWork> for VoidProcessor {
    async fn handle(&mut self, _: VoidWork, reply: Reply<VoidWork>) -> Result<(), Fault> {
        match self.look().await {
            Ok(()) => self.is_failing = false,
            Err(error) if self.is_failing => debug!(%error, "voiding work still fails"),
            Err(error) => {
                self.is_failing = true;
                warn!(%error, "voiding work failed, will retry");
            }
        }
        reply.send(());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
