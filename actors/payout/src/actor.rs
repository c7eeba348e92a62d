//! One step at a time, under the money lease.
use daemon::DaemonError;
use messages::facts::LeaseEpoch;
use messages::payout::{PayoutTick, SweepPayouts};
use runtime::{Actor, Fault, Handler, Reply};
use store::StoreError;
use tracing::info;

use crate::error::PayoutError;
use crate::hold_reason::HoldKind;
use crate::hold_reporter::HoldReporter;
use crate::parts::PayoutParts;
use crate::run_once::{PayoutRunner, RunOutcome};
use crate::standing::Standing;

/// Pays what is due; see the crate's documentation.
pub struct Payout {
    lease: LeaseEpoch,
    runner: PayoutRunner,
    reporter: HoldReporter,
    /// Why nothing is sent.
    standing: Standing,
    /// The epoch that the database has refused.
    fenced: Option<i64>,
    /// What the last failed run was about.
    last_logged: Option<HoldKind>,
}

impl Payout {
    /// On the arbiter that will run it.
    #[must_use]
    pub fn new(parts: PayoutParts) -> Payout {
        Payout {
            runner: PayoutRunner::new(&parts),
            reporter: HoldReporter::new(&parts),
            lease: parts.lease,
            standing: Standing::default(),
            fenced: None,
            last_logged: None,
        }
    }

    /// One step, if this host may.
    async fn tick(&mut self) {
        let epoch = *self.lease.borrow();
        let Some(epoch) = epoch.filter(|epoch| self.fenced != Some(*epoch)) else {
            self.runner.drop_run();
            self.reporter.tell_nothing(&mut self.standing);
            return;
        };
        let outcome = self.runner.run_once(epoch, &mut self.standing).await;
        match &outcome {
            Err(PayoutError::Store(StoreError::Fenced { .. })) => {
                self.fenced = Some(epoch);
                self.reporter.tell_nothing(&mut self.standing);
                return;
            }
            Err(PayoutError::Daemon(DaemonError::NotSent { .. } | DaemonError::NoSuchRoute { .. })) => {
                self.runner.forget_mode();
            }
            _ => {}
        }
        self.log(&outcome);
        self.reporter.tell(&mut self.standing, self.runner.height(), epoch).await;
    }

    /// Says what ended a run, when that changes. What lasts becomes a condition, which says it aloud.
    fn log(&mut self, outcome: &Result<RunOutcome, PayoutError>) {
        let trouble = match outcome {
            Ok(RunOutcome::Idle) => return,
            Ok(RunOutcome::Done) => None,
            // Being told to wait is how the daemon paces sends, not a trouble.
            Err(trouble) => Some(trouble).filter(|trouble| !trouble.is_busy()),
        };
        let kind = trouble.map(|trouble| trouble.kind());
        if kind != self.last_logged {
            match trouble {
                Some(error) => info!(%error, "payout run failed, will retry"),
                None => info!("payout run succeeded again"),
            }
            self.last_logged = kind;
        }
    }
}

impl Actor for Payout {
    const NAME: &'static str = "payout";
}

impl Handler<SweepPayouts> for Payout {
    async fn handle(&mut self, _: SweepPayouts, reply: Reply<SweepPayouts>) -> Result<(), Fault> {
        self.runner.set_due();
        self.tick().await;
        reply.send(());
        Ok(())
    }
}

impl Handler<PayoutTick> for Payout {
    async fn handle(&mut self, _: PayoutTick, reply: Reply<PayoutTick>) -> Result<(), Fault> {
        self.tick().await;
        reply.send(());
        Ok(())
    }
}
