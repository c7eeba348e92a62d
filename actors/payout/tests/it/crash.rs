//! The actor dies between any two steps; its successor knows only what is stored.
use daemon_sim::{Action, Fault, Phase};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::database::Kind;
use crate::harness::{COIN, Harness, address};

/// Kills the actor in each of its steps after `polls` awaits, from the run to the closing of the books, then lets it
/// finish.
async fn killed_at(harness: &mut Harness, polls: u32) {
    harness.tick_until_crash(true, polls).await;
    for block in 0..7 {
        harness.tick_until_crash(false, polls).await;
        harness.audit().await;
        if block > 1 {
            harness.mine(1);
        }
    }
    harness.sweep().await;
    harness.settle().await;
    harness.audit().await;
}

#[actix_rt::test]
async fn a_death_at_any_await_pays_everybody_once() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut harness = Harness::on(kind).await;
        // A run from its beginning to the wallet's answer has some 14 awaits.
        let rounds = 22;
        harness.endow(30);
        for round in 0..rounds {
            let (one, two) = (address(2 * u64::from(round)), address(2 * u64::from(round) + 1));
            harness.owe(&one, 10 * COIN).await;
            harness.owe(&two, COIN).await;
            killed_at(&mut harness, round + 1).await;
            harness.check(&[(&one, 1), (&two, 1)]).await;
        }
    }
}

#[actix_rt::test]
async fn deaths_and_a_bad_network_together_pay_everybody_once() {
    let mut rng = StdRng::seed_from_u64(7);
    let mut harness = Harness::new().await;
    harness.endow(20);
    let rounds = 40;
    for round in 0..rounds {
        harness.owe(&address(round), COIN + round).await;
        harness.sweep_until_crash(rng.random_range(1..40)).await;
        for _ in 0..rng.random_range(1..6) {
            disturb(&mut harness, &mut rng);
            if rng.random_bool(0.5) {
                harness.tick_until_crash(rng.random_bool(0.3), rng.random_range(1..40)).await;
            } else {
                harness.tick().await;
            }
        }
        harness.control().clear_faults();
        harness.audit().await;
    }
    harness.sweep().await;
    harness.settle().await;
    harness.sweep().await;
    harness.settle().await;
    let miners: Vec<String> = (0..rounds).map(address).collect();
    harness.check(&miners.iter().map(|miner| (miner.as_str(), 1)).collect::<Vec<_>>()).await;
}

fn disturb(harness: &mut Harness, rng: &mut StdRng) {
    let phase = [Phase::Before, Phase::During, Phase::Effected, Phase::After][rng.random_range(0..4)];
    match rng.random_range(0..10) {
        0 => harness.fault(Fault::once("wallet/send/advanced", phase, Action::Drop)),
        1 => harness.fault(Fault::once("wallet/sends", Phase::Before, Action::Drop)),
        2 => harness.fault(Fault::once("wallet/send/advanced/status", Phase::Before, Action::Drop)),
        3 => harness.control().clear_mempool(),
        4 => {
            harness.restart_daemon();
            harness.load_wallet();
        }
        5 => harness.mine_empty(1),
        _ => harness.mine(1),
    }
}
