//! Tells why nothing is sent: conditions for everybody in this process, a row in the database for other processes.
use std::sync::Arc;

use messages::conditions::{ConditionKind, Conditions};
use messages::facts::Clock;
use store::Store;
use tokio::time::Instant;
use tracing::debug;
use units::Height;

use crate::error::PayoutError;
use crate::hold_reason::HoldReason;
use crate::metrics::PayoutMetrics;
use crate::parts::PayoutParts;
use crate::standing::Standing;

/// Where reasons are told.
pub(crate) struct HoldReporter {
    store: Store,
    conditions: Arc<Conditions>,
    metrics: Arc<PayoutMetrics>,
    clock: Clock,
}

impl HoldReporter {
    pub(crate) fn new(parts: &PayoutParts) -> HoldReporter {
        HoldReporter {
            store: parts.store.clone(),
            conditions: Arc::clone(&parts.conditions),
            metrics: Arc::clone(&parts.metrics),
            clock: Arc::clone(&parts.clock),
        }
    }

    /// Tells everybody why nothing is sent, or that nothing stands in the way.
    pub(crate) async fn tell(&self, standing: &mut Standing, height: Height, epoch: i64) {
        if let Err(error) = self.load_holds(standing, epoch).await {
            debug!(%error, "why payouts stood could not be read, will retry");
        }
        standing.note(Instant::now(), (self.clock)(), height);
        let wanted = standing.wanted.as_ref().map(|reason| (reason.kind.text().to_owned(), reason.detail.clone()));
        self.conditions.put(ConditionKind::PayoutsPaused, wanted);
        let reasons = standing.reasons();
        let ripe: Vec<&HoldReason> = reasons.into_iter().filter(|reason| standing.is_ripe(reason, height)).collect();
        let details = ripe.iter().map(|reason| reason.detail.as_str()).collect::<Vec<_>>().join("; ");
        let held = ripe.first().map(|reason| (reason.kind.text().to_owned(), details));
        self.conditions.put(ConditionKind::PayoutsHeld, held);
        let waiting = self.metrics.payouts_attention.get();
        let attention = (waiting > 0).then(|| {
            let detail = format!("{waiting} payouts need an operator; `meshpool payouts` says why");
            ("a payout needs an operator".to_owned(), detail)
        });
        self.conditions.put(ConditionKind::PayoutAttention, attention);
        if let Err(error) = self.store_holds(standing, height, epoch).await {
            // A database that does not answer is told as such.
            debug!(%error, "why payouts stand could not be stored, will retry");
        }
    }

    /// Of whoever had the lease before: what is still so began then.
    async fn load_holds(&self, standing: &mut Standing, epoch: i64) -> Result<(), PayoutError> {
        if standing.stored.as_ref().is_none_or(|(under, _)| *under != epoch) {
            let before = self.store.payout_books().await?.holds;
            standing.stored = before.map(|before| (epoch, before));
        }
        Ok(())
    }

    async fn store_holds(&self, standing: &mut Standing, height: Height, epoch: i64) -> Result<(), PayoutError> {
        let holds = standing.holds(height);
        if standing.stored.as_ref().is_none_or(|(_, stored)| *stored != holds) {
            self.store.payout_holds_put(epoch, &holds).await?;
            standing.stored = Some((epoch, holds));
        }
        Ok(())
    }

    /// Whoever has the lease tells it.
    pub(crate) fn tell_nothing(&self, standing: &mut Standing) {
        *standing = Standing::default();
        for kind in [ConditionKind::PayoutsHeld, ConditionKind::PayoutsPaused, ConditionKind::PayoutAttention] {
            self.conditions.clear(kind);
        }
    }
}
