//! The actor dies between any two steps; its successor knows only what is stored.
use meshpool_devnet::{Action, Fault, Phase};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::database::Kind;
use crate::stage::{COIN, Stage, address};

/// Kills the actor in each of its steps after `polls` awaits, from the run to the closing of the books, then lets it
/// finish.
async fn killed_at(stage: &mut Stage, polls: u32) {
    stage.tick_until_crash(true, polls).await;
    for block in 0..7 {
        stage.tick_until_crash(false, polls).await;
        stage.audit().await;
        if block > 1 {
            stage.mine(1);
        }
    }
    stage.sweep().await;
    stage.settle().await;
    stage.audit().await;
}

#[actix_rt::test]
async fn a_death_at_any_await_pays_everybody_once() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut stage = Stage::on(kind).await;
        // A run from its beginning to the wallet's answer has some 14 awaits.
        let rounds = 22;
        stage.endow(30);
        for round in 0..rounds {
            let (one, two) = (address(2 * u64::from(round)), address(2 * u64::from(round) + 1));
            stage.owe(&one, 10 * COIN).await;
            stage.owe(&two, COIN).await;
            killed_at(&mut stage, round + 1).await;
            stage.check(&[(&one, 1), (&two, 1)]).await;
        }
    }
}

#[actix_rt::test]
async fn deaths_and_a_bad_network_together_pay_everybody_once() {
    let mut rng = StdRng::seed_from_u64(7);
    let mut stage = Stage::new().await;
    stage.endow(20);
    let rounds = 40;
    for round in 0..rounds {
        stage.owe(&address(round), COIN + round).await;
        stage.sweep_until_crash(rng.random_range(1..40)).await;
        for _ in 0..rng.random_range(1..6) {
            disturb(&mut stage, &mut rng);
            if rng.random_bool(0.5) {
                stage.tick_until_crash(rng.random_bool(0.3), rng.random_range(1..40)).await;
            } else {
                stage.tick().await;
            }
        }
        stage.control().clear_faults();
        stage.audit().await;
    }
    stage.sweep().await;
    stage.settle().await;
    stage.sweep().await;
    stage.settle().await;
    let miners: Vec<String> = (0..rounds).map(address).collect();
    stage.check(&miners.iter().map(|miner| (miner.as_str(), 1)).collect::<Vec<_>>()).await;
}

fn disturb(stage: &mut Stage, rng: &mut StdRng) {
    let phase = [Phase::Before, Phase::During, Phase::Effected, Phase::After][rng.random_range(0..4)];
    match rng.random_range(0..10) {
        0 => stage.fault(Fault::once("wallet/send/advanced", phase, Action::Drop)),
        1 => stage.fault(Fault::once("wallet/sends", Phase::Before, Action::Drop)),
        2 => stage.fault(Fault::once("wallet/send/advanced/status", Phase::Before, Action::Drop)),
        3 => stage.control().clear_mempool(),
        4 => {
            stage.restart_daemon();
            stage.load_wallet();
        }
        5 => stage.mine_empty(1),
        _ => stage.mine(1),
    }
}
