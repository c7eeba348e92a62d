//! Candidates on their way to the daemon.
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use chain::BlockId;
use daemon::{Daemon, DaemonError, DaemonSettings};
use futures_util::future::join;
use messages::blocks::SubmitCandidate;
use messages::counters::Counters;
use messages::facts::Notice;
use messages::share_ledger::{AppendEvents, Event};
use messages::template::{RefreshReason, RefreshTemplate};
use runtime::{Actor, Fault, Handler, Recipient, Reply, carry};
use tokio::sync::{Semaphore, broadcast};
use tokio::time::sleep;
use tracing::{debug, info, warn};

/// What the daemon checks at once; more would only be answered 429.
const AT_ONCE: usize = 2;
/// Pause before a submit is tried again.
const PAUSE: Duration = Duration::from_millis(700);
/// Blocks that are remembered, so that one that comes twice is submitted once.
const REMEMBERED: usize = 1024;
/// How long the log may take for the record before it is offered again.
const LEDGER_PATIENCE: Duration = Duration::from_secs(10);

/// What the actor is built from, once per generation.
#[derive(Clone)]
pub struct SubmitterParts {
    /// Which daemon.
    pub daemon: DaemonSettings,
    /// Takes the candidate's record.
    pub ledger: Recipient<AppendEvents>,
    /// Is told to look for the next template.
    pub template: Recipient<RefreshTemplate>,
    /// What miners are told.
    pub notices: broadcast::Sender<Notice>,
    /// Counters.
    pub counters: Arc<Counters>,
}

/// Submits blocks; see the crate's documentation.
pub struct BlockSubmitter {
    courier: Rc<Courier>,
    known: VecDeque<BlockId>,
}

struct Courier {
    parts: SubmitterParts,
    daemon: Daemon,
    turns: Semaphore,
}

/// What became of a submit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It is on the main chain.
    Accepted,
    /// Another block is.
    Lost,
    /// The daemon says that it is no block.
    Refused,
}

impl BlockSubmitter {
    /// On the arbiter that will run it.
    #[must_use]
    pub fn new(parts: SubmitterParts) -> BlockSubmitter {
        let daemon = Daemon::new(&parts.daemon);
        BlockSubmitter {
            courier: Rc::new(Courier { parts, daemon, turns: Semaphore::new(AT_ONCE) }),
            known: VecDeque::new(),
        }
    }
}

impl Actor for BlockSubmitter {
    const NAME: &'static str = "block_submitter";
}

impl Handler<SubmitCandidate> for BlockSubmitter {
    async fn handle(&mut self, candidate: SubmitCandidate, reply: Reply<SubmitCandidate>) -> Result<(), Fault> {
        let id = candidate.template.header_base.block_id(candidate.nonce);
        if self.known.contains(&id) {
            reply.send(());
            return Ok(());
        }
        self.known.push_back(id);
        if self.known.len() > REMEMBERED {
            self.known.pop_front();
        }
        let courier = Rc::clone(&self.courier);
        carry(reply, async move {
            let (_recorded, outcome) = join(courier.record(&candidate), courier.deliver(&candidate, id)).await;
            let height = candidate.template.height;
            match outcome {
                Outcome::Accepted => info!(%height, %id, "block accepted"),
                Outcome::Lost => info!(%height, %id, "block lost to another one"),
                Outcome::Refused => warn!(%height, %id, "the daemon refused the block"),
            }
        });
        Ok(())
    }
}

impl Courier {
    /// Writes the candidate's record; tries until the log has it. Written twice it changes nothing.
    async fn record(&self, candidate: &SubmitCandidate) {
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
            warn!("a block candidate could not be logged yet; it is submitted all the same");
            sleep(PAUSE).await;
        }
    }

    async fn deliver(&self, candidate: &SubmitCandidate, id: BlockId) -> Outcome {
        // Closed never: the semaphore lives as long as the courier.
        let _turn = self.turns.acquire().await;
        if candidate.logged
            && let Some(outcome) = self.on_chain(candidate, id).await
        {
            return outcome;
        }
        let mut full = candidate.template.daemon_id.is_none();
        loop {
            match self.submit(candidate, full).await {
                Ok(()) => return self.accepted(candidate),
                Err(DaemonError::UnknownTemplate) if !full => {
                    full = true;
                    continue;
                }
                Err(DaemonError::Refused { text, .. }) => {
                    warn!(%id, text, "submit refused");
                    // An answer to a repetition can look like this; the chain knows.
                    return self.on_chain(candidate, id).await.unwrap_or(Outcome::Refused);
                }
                Err(DaemonError::Stale) => {
                    // Also the answer to a repetition of a success.
                    if let Some(outcome) = self.on_chain(candidate, id).await {
                        return outcome;
                    }
                }
                Err(error) => {
                    warn!(%id, %error, "submit without a clear answer");
                    if let Some(outcome) = self.on_chain(candidate, id).await {
                        return outcome;
                    }
                    sleep(error.retry_after().unwrap_or(PAUSE)).await;
                    continue;
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn submit(&self, candidate: &SubmitCandidate, full: bool) -> daemon::Result<()> {
        let template = &candidate.template;
        match template.daemon_id.as_deref().filter(|_| !full) {
            Some(id) => self.daemon.submit_compact(id, candidate.nonce).await.map(drop),
            None => self
                .daemon
                .submit_full(&template.block, candidate.nonce, Some(template.header_base.timestamp()))
                .await
                .map(drop),
        }
    }

    /// What the chain holds at the block's height; `None` while it holds nothing there or does not answer.
    async fn on_chain(&self, candidate: &SubmitCandidate, id: BlockId) -> Option<Outcome> {
        let found = match self.daemon.block_by_height(candidate.template.height).await {
            Ok(found) => found?,
            Err(error) => {
                debug!(%error, "the chain cannot be asked now");
                return None;
            }
        };
        Some(if found.hash == id { self.accepted(candidate) } else { Outcome::Lost })
    }

    fn accepted(&self, candidate: &SubmitCandidate) -> Outcome {
        if !candidate.logged {
            self.parts.counters.blocks_accepted_total.add(1);
            // Nobody listening is no failure: the front may have no sessions.
            drop(self.parts.notices.send(Notice::BlockSolved { finder: candidate.session }));
        }
        if self.parts.template.tell(RefreshTemplate(RefreshReason::BlockAccepted)).is_err() {
            debug!("template actor is busy; its next poll finds the block");
        }
        Outcome::Accepted
    }
}
