//! The way of one candidate: its record to the log, its block to every daemon.
use std::sync::Arc;
use std::time::Duration;

use chain::BlockId;
use daemon::{Daemon, DaemonError};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use messages::blocks::SubmitCandidate;
use messages::facts::Notice;
use messages::share_ledger::{AppendEvents, Event};
use messages::template::{RefreshReason, RefreshTemplate};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, warn};

use crate::parts::SubmitterParts;

/// What the daemon checks at once; more would only be answered 429.
const AT_ONCE: usize = 2;
/// Pause before a submit is tried again.
const PAUSE: Duration = Duration::from_millis(700);
/// The daemon that made the template has so long to answer before the others get the block too.
const HEAD_START: Duration = Duration::from_secs(2);
/// How long the other daemons may take once one has settled the block's outcome.
const SPREAD: Duration = Duration::from_secs(60);
/// How long the log may take for the record before it is offered again.
const LEDGER_PATIENCE: Duration = Duration::from_secs(10);

/// Carries blocks to all daemons, and their records to the log.
pub(crate) struct BlockBroadcaster {
    parts: SubmitterParts,
    targets: Vec<BroadcastTarget>,
}

/// One daemon's.
struct BroadcastTarget {
    daemon: Daemon,
    turns: Semaphore,
}

/// What became of a submit; what says more comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// The daemon says that it is no block.
    Refused,
    /// Another block is on the main chain.
    Lost,
    /// It is on the main chain.
    Accepted,
}

/// How the way of a candidate ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) outcome: Outcome,
    /// It came back from the log and the chain had this outcome before anything was done: whoever saw that has told it.
    pub(crate) was_known: bool,
}

impl Settled {
    fn now(outcome: Outcome) -> Settled {
        Settled { outcome, was_known: false }
    }
}

impl BlockBroadcaster {
    pub(crate) fn new(parts: SubmitterParts) -> BlockBroadcaster {
        let target = |settings| BroadcastTarget { daemon: Daemon::new(settings), turns: Semaphore::new(AT_ONCE) };
        let targets = parts.daemons.iter().map(target).collect();
        BlockBroadcaster { parts, targets }
    }

    /// Writes the candidate's record; tries until the log has it. Written twice it changes nothing.
    pub(crate) async fn record(&self, candidate: &SubmitCandidate) {
        if candidate.logged {
            return;
        }
        let event = Event::Candidate {
            share: candidate.share,
            line: Arc::clone(&candidate.line),
            template: Arc::clone(&candidate.template),
            nonce: candidate.nonce,
            received_at: candidate.received_at,
        };
        while !matches!(self.parts.ledger.ask(AppendEvents(vec![event.clone()]), LEDGER_PATIENCE).await, Ok(Ok(_))) {
            warn!("block candidate not logged yet, submitted without");
            sleep(PAUSE).await;
        }
    }

    /// To every daemon: first to the one that made the template, then to the others. One acceptance is enough; the
    /// others are still served, so that the block spreads from each of them.
    pub(crate) async fn deliver(&self, candidate: &SubmitCandidate, id: BlockId) -> Settled {
        let issuer = candidate.template.issuer.filter(|place| *place < self.targets.len()).unwrap_or(0);
        let (answered, answer) = watch::channel(false);
        let answered = &answered;
        let mut under_way: FuturesUnordered<_> = (0..self.targets.len())
            .map(|place| {
                let mut answer = answer.clone();
                async move {
                    let first = place == issuer;
                    if !first {
                        // Late or not: the block goes out either way.
                        let _answered = timeout(HEAD_START, answer.wait_for(|answered| *answered)).await;
                    }
                    self.targets[place].deliver(candidate, id, first, answered).await
                }
            })
            .collect();
        let (mut outcome, mut known, mut until) = (Outcome::Refused, None, None);
        loop {
            let next = match until {
                None => under_way.next().await,
                Some(until) => timeout_at(until, under_way.next()).await.ok().flatten(),
            };
            let Some(next) = next else { return Settled { outcome, was_known: known == Some(outcome) } };
            if next.was_known {
                known = known.max(Some(next.outcome));
            } else if next.outcome == Outcome::Accepted && outcome != next.outcome {
                self.accepted(candidate);
            }
            outcome = outcome.max(next.outcome);
            until.get_or_insert_with(|| Instant::now() + SPREAD);
        }
    }

    fn accepted(&self, candidate: &SubmitCandidate) {
        if !candidate.logged {
            self.parts.metrics.blocks_accepted_total.add(1);
            // Nobody listening is no failure: the front may have no sessions.
            drop(self.parts.notices.send(Notice::BlockSolved { finder: candidate.session }));
        }
        if self.parts.template.tell(RefreshTemplate(RefreshReason::BlockAccepted)).is_err() {
            debug!("template actor is busy; its next poll finds the block");
        }
    }
}

impl BroadcastTarget {
    /// Until this daemon has settled the block's outcome. Notes when it answers for the first time.
    async fn deliver(
        &self,
        candidate: &SubmitCandidate,
        id: BlockId,
        by_name: bool,
        answered: &watch::Sender<bool>,
    ) -> Settled {
        // Closed never: the semaphore lives as long as the target.
        let _turn = self.turns.acquire().await;
        if candidate.logged
            && let Some(outcome) = self.on_chain(candidate, id).await
        {
            return Settled { outcome, was_known: true };
        }
        let daemon = self.daemon.place();
        let mut said = None;
        let mut name = candidate.template.daemon_id.as_deref().filter(|_| by_name);
        loop {
            let answer = self.submit(candidate, name).await;
            answered.send_if_modified(|answered| !std::mem::replace(answered, true));
            match answer {
                Ok(()) => return Settled::now(Outcome::Accepted),
                Err(DaemonError::UnknownTemplate) if name.is_some() => {
                    name = None;
                    continue;
                }
                Err(DaemonError::Refused { text, .. }) => {
                    warn!(%id, daemon, text, "submit refused");
                    // An answer to a repetition can look like this; the chain knows.
                    return Settled::now(self.on_chain(candidate, id).await.unwrap_or(Outcome::Refused));
                }
                Err(DaemonError::Stale) => {
                    // Also the answer to a repetition of a success.
                    if let Some(outcome) = self.on_chain(candidate, id).await {
                        return Settled::now(outcome);
                    }
                }
                Err(error) => {
                    let text = error.to_string();
                    if said.as_ref() != Some(&text) {
                        warn!(%id, daemon, text, "block submission unconfirmed, will retry");
                        said = Some(text);
                    }
                    if let Some(outcome) = self.on_chain(candidate, id).await {
                        return Settled::now(outcome);
                    }
                    sleep(error.retry_after().unwrap_or(PAUSE)).await;
                    continue;
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn submit(&self, candidate: &SubmitCandidate, name: Option<&str>) -> daemon::Result<()> {
        let template = &candidate.template;
        match name {
            Some(name) => self.daemon.submit_compact(name, candidate.nonce).await.map(drop),
            None => self
                .daemon
                .submit_full(&template.block, candidate.nonce, Some(template.header_base.timestamp()))
                .await
                .map(drop),
        }
    }

    /// What the chain holds at the block's height; `None` while it holds nothing there or does not answer.
    async fn on_chain(&self, candidate: &SubmitCandidate, id: BlockId) -> Option<Outcome> {
        match self.daemon.block_by_height(candidate.template.height).await {
            Ok(found) => found.map(|found| if found.hash == id { Outcome::Accepted } else { Outcome::Lost }),
            Err(error) => {
                debug!(%error, "the chain cannot be asked now");
                None
            }
        }
    }
}
