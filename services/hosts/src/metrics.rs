//! Each crate's metrics, and which of them what else reads.
use std::sync::Arc;

use blocks::BlocksMetrics;
use instruments::Registry;
use live::BookingClock;
use payout::PayoutMetrics;
use retention::RetentionMetrics;
use share_ledger::LedgerMetrics;
use stratum::StratumMetrics;
use template::TemplateMetrics;
use validation::ValidationMetrics;
use web::ProcessCounts;

use crate::role::Role;

/// What the crates of this process count, by role. Those of a role that it does not have stay 0 and are not exported.
#[derive(Default)]
pub(crate) struct HostMetrics {
    pub(crate) stratum: StratumRoleMetrics,
    pub(crate) validator: Arc<ValidationMetrics>,
    pub(crate) treasury: TreasuryMetrics,
}

/// Metrics of what the Stratum role starts.
#[derive(Default)]
pub(crate) struct StratumRoleMetrics {
    pub(crate) template: Arc<TemplateMetrics>,
    pub(crate) ledger: Arc<LedgerMetrics>,
    pub(crate) blocks: Arc<BlocksMetrics>,
    pub(crate) front: Arc<StratumMetrics>,
}

/// Metrics of what the treasury starts.
#[derive(Default)]
pub(crate) struct TreasuryMetrics {
    pub(crate) payout: Arc<PayoutMetrics>,
    pub(crate) retention: Arc<RetentionMetrics>,
}

impl HostMetrics {
    /// Registers those of these roles.
    pub(crate) fn register(registry: &Registry, roles: &[Role]) -> HostMetrics {
        let has = |role| roles.contains(&role);
        let mut metrics = HostMetrics::default();
        if has(Role::Stratum) {
            metrics.stratum = StratumRoleMetrics::register(registry);
        }
        if has(Role::Validator) {
            metrics.validator = ValidationMetrics::register(registry).into();
        }
        if has(Role::Treasury) {
            metrics.treasury = TreasuryMetrics::register(registry);
        }
        metrics
    }

    /// By which time shares are booked.
    pub(crate) fn booking_clock(&self) -> BookingClock {
        let ledger = &self.stratum.ledger;
        BookingClock {
            minutes_ahead: ledger.log_minutes_ahead.clone(),
            minutes_behind: ledger.log_minutes_behind.clone(),
        }
    }

    /// What the API shows.
    pub(crate) fn counts(&self) -> ProcessCounts {
        let (front, ledger, validation) = (&self.stratum.front, &self.stratum.ledger, &self.validator);
        ProcessCounts {
            stratum_connections: front.stratum_connections.clone(),
            shares_accepted_total: front.shares_accepted_total.clone(),
            offers_forgone_total: front.offers_forgone_total.clone(),
            log_backlog_bytes: ledger.log_backlog_bytes.clone(),
            log_unreadable: ledger.log_unreadable.clone(),
            booking_clock: self.booking_clock(),
            checks_running: validation.checks_running.clone(),
            claims_waiting: validation.claims_waiting.clone(),
            checks_owed: validation.checks_owed.clone(),
            checks_forgone_total: validation.checks_forgone_total.clone(),
            checks_sampled_total: validation.checks_sampled_total.clone(),
            checks_failed_total: validation.checks_failed_total.clone(),
        }
    }
}

impl StratumRoleMetrics {
    fn register(registry: &Registry) -> StratumRoleMetrics {
        StratumRoleMetrics {
            template: TemplateMetrics::register(registry).into(),
            ledger: LedgerMetrics::register(registry).into(),
            blocks: BlocksMetrics::register(registry).into(),
            front: StratumMetrics::register(registry).into(),
        }
    }
}

impl TreasuryMetrics {
    fn register(registry: &Registry) -> TreasuryMetrics {
        TreasuryMetrics {
            payout: PayoutMetrics::register(registry).into(),
            retention: RetentionMetrics::register(registry).into(),
        }
    }
}
