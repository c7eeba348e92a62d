//! Money: follows blocks, credits, pays, and cleans up what is old. Holds the money lease.
//!
//! Needs of others: the tip and how far this host's share log is folded (stratum). Without them it could neither credit
//! nor settle, so it leaves the lease to a host that can.
use std::sync::Arc;
use std::time::Duration;

use blocks::{BlockLifecycle, LifecycleParts};
use messages::blocks::LifecycleTick;
use messages::facts::LeaseEpoch;
use messages::payout::{PayoutTick, SweepPayouts};
use messages::retention::RetentionTick;
use payout::{Payout, PayoutParts};
use retention::{Retention, RetentionParts};
use runtime::{ActorRef, Host};
use tokio::sync::watch;
use tracing::warn;

use super::Running;
use crate::context::HostContext;
use crate::pricing::settle_depth;
use crate::role::Role;
use crate::wiring::Wiring;
use crate::{lease, policies};

pub(crate) fn start(context: &HostContext<'_>, wiring: &Wiring, host: &mut Host) -> Running {
    let epoch = wiring.epochs.subscribe();
    let retention = ActorRef::<Retention>::unbound(policies::QUIET);
    let parts = retention_parts(context, wiring, epoch.clone());
    host.start(&retention, policies::COSMETIC, Retention::factory(parts));
    let payout = ActorRef::<Payout>::unbound(policies::QUIET);
    let parts = payout_parts(context, epoch.clone());
    host.start(&payout, policies::MONEY, move || Payout::new(parts.clone()));
    let lifecycle = ActorRef::<BlockLifecycle>::unbound(policies::QUIET);
    let parts = lifecycle_parts(context, wiring, epoch);
    host.start(&lifecycle, policies::MONEY, move || BlockLifecycle::new(parts.clone()));

    host.tick(&lifecycle, Duration::from_secs(1), || LifecycleTick);
    host.tick(&payout, context.settings.payout.interval, || SweepPayouts);
    host.tick(&payout, Duration::from_secs(1), || PayoutTick);
    host.tick(&retention, retention::TURN_EVERY, || RetentionTick);
    if context.has(Role::Stratum) { keep_lease(context, wiring) } else { Running::default() }
}

fn keep_lease(context: &HostContext<'_>, wiring: &Wiring) -> Running {
    let (stopping, stop) = watch::channel(false);
    let (store, name) = (context.store.clone(), wiring.host_name.clone());
    let kept = lease::keep(store, name, wiring.epochs.clone(), Arc::clone(&wiring.renewals), stop);
    let kept = tokio::spawn(kept);
    let close = async move {
        stopping.send_replace(true);
        if kept.await.is_err() {
            warn!(what = "lease", "did not end cleanly");
        }
    };
    Running { close: Some(Box::pin(close)), ..Running::default() }
}

fn retention_parts(context: &HostContext<'_>, wiring: &Wiring, lease: LeaseEpoch) -> RetentionParts {
    RetentionParts {
        settings: context.settings.retention.clone(),
        window: wiring.pricing.policy.window(),
        store: context.store.clone(),
        lease,
        clock: Arc::clone(&context.clock),
        metrics: Arc::clone(&context.metrics.treasury.retention),
    }
}

fn payout_parts(context: &HostContext<'_>, lease: LeaseEpoch) -> PayoutParts {
    let (settings, rng) = (&context.settings, context.rng);
    let first = context.daemons.first().expect("the settings always name a first daemon");
    PayoutParts {
        daemon: first.daemon.clone(),
        password: Arc::clone(&first.wallet_password),
        store: context.store.clone(),
        settings: settings.payout.clone(),
        network: settings.pool.network.addresses(),
        reward_address: settings.pool.reward_address.clone(),
        settle_depth: settle_depth(settings),
        credit_depth: settings.blocks.confirmations,
        steps_file: settings.data.dir.join("payout.steps"),
        lease,
        clock: Arc::clone(&context.clock),
        random_id: Arc::new(move || {
            let chance = rng();
            std::array::from_fn(|place| chance[place])
        }),
        metrics: Arc::clone(&context.metrics.treasury.payout),
        conditions: Arc::clone(&context.conditions),
    }
}

fn lifecycle_parts(context: &HostContext<'_>, wiring: &Wiring, lease: LeaseEpoch) -> LifecycleParts {
    LifecycleParts {
        daemons: context.daemons.iter().map(|source| source.daemon.clone()).collect(),
        store: context.store.clone(),
        host: wiring.host,
        policy: wiring.pricing.id,
        window: wiring.pricing.policy.window(),
        tip: wiring.published.tips(),
        position: wiring.position.subscribe(),
        lease,
        clock: Arc::clone(&context.clock),
        conditions: Arc::clone(&context.conditions),
    }
}
