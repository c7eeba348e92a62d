//! The URL leads to another daemon: with the same wallet and no memory, or with another wallet.
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use daemon::DaemonSettings;
use meshpool_devnet::{Action, Fault, Params, Phase, SimulatedDaemon};
use store::payouts::IntentState;

use crate::database::Kind;
use crate::stage::{COIN, PASSWORD, Stage, address, settings, until};

const SEND: &str = "wallet/send/advanced";
const WALLET: &str = "blocknet-testnet.wallet.dat";

/// Below the ports that the system gives to connections, so that none is taken away again.
fn free_address() -> SocketAddr {
    let is_free = |address: &SocketAddr| TcpListener::bind(address).is_ok();
    let random = |_| SocketAddr::from(([127, 0, 0, 1], rand::random_range(10_000..32_000)));
    (0..200).map(random).find(is_free).unwrap()
}

/// A stage with a standby on the same chain, and a payout to two miners that is about to be asked for.
async fn reserved_with_standby(kind: Kind, shares_wallet: bool) -> Stage {
    let peers = [free_address(), free_address()];
    let join = |params: &mut Params, own: usize| {
        params.peer_listen = Some(peers[own]);
        params.peers = vec![format!("http://{}", peers[1 - own])];
        (params.peer_dial, params.relay) = (Duration::ZERO, Duration::ZERO);
    };
    let mut stage = Stage::with(kind, settings(), |params| join(params, 0)).await;
    let dir = stage.dir.path().join("standby");
    std::fs::create_dir(&dir).unwrap();
    if shares_wallet {
        std::fs::copy(stage.dir.path().join("daemon").join(WALLET), dir.join(WALLET)).unwrap();
    }
    let mut params = Params {
        pow_memory_kib: 64,
        send_build: Duration::ZERO,
        wallet_save: Duration::ZERO,
        auto_wallet_password: Some(PASSWORD.to_owned()),
        premined: 0,
        ..Params::devnet(dir)
    };
    join(&mut params, 1);
    let standby = SimulatedDaemon::start(params).unwrap();
    standby.control().stop_clock(true);
    stage.standby = Some(standby);
    stage.advance(0);
    stage.agree();
    stage.endow(6);
    stage.owe(&address(1), 100 * COIN).await;
    stage.owe(&address(2), 20 * COIN).await;
    stage.reserve().await;
    stage
}

fn place(daemon: &SimulatedDaemon) -> DaemonSettings {
    DaemonSettings { url: daemon.url(), cookie_path: Some(daemon.cookie_path()), ..DaemonSettings::default() }
}

/// The actor's URL leads to the standby from now on.
fn fail_over(stage: &mut Stage) {
    let to = place(stage.standby.as_ref().unwrap());
    stage.point_at(to);
}

async fn paid_once(stage: &mut Stage) {
    stage.settle().await;
    stage.sweep().await;
    stage.ticks(2).await;
    stage.mine(2);
    stage.check(&[(&address(1), 1), (&address(2), 1)]).await;
}

#[actix_rt::test]
async fn a_refusal_by_a_daemon_that_was_not_the_first_one_asked_pays_nobody_twice() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut stage = reserved_with_standby(kind, true).await;
        stage.fault(Fault::once(SEND, Phase::After, Action::Drop));
        stage.tick().await;
        assert_eq!(stage.only().await.state, IntentState::Unknown);
        until("the transaction waits there too", || stage.mempool_of_standby() == 1);
        fail_over(&mut stage);
        // It has neither the key nor the memo, and its own mempool refuses the same inputs.
        for _ in 0..4 {
            stage.ticks(3).await;
            stage.sweep().await;
            let intent = stage.only().await;
            assert!(intent.attempts[0].repeated);
            assert_ne!(intent.state, IntentState::Released);
            stage.mine_empty(1);
        }
        assert!(stage.standby.as_ref().unwrap().control().sends().is_empty(), "no other inputs were spent");
        paid_once(&mut stage).await;
    }
}

#[actix_rt::test]
async fn a_standby_that_has_not_heard_of_the_transaction_spends_the_same_inputs() {
    let mut stage = reserved_with_standby(Kind::Sqlite, true).await;
    stage.control().cut_off(true);
    stage.fault(Fault::once(SEND, Phase::After, Action::Drop));
    stage.tick().await;
    fail_over(&mut stage);
    stage.ticks(4).await;
    let sent = stage.only().await;
    assert_eq!((sent.state, sent.attempts.len()), (IntentState::Broadcast, 1));
    assert_eq!(stage.standby.as_ref().unwrap().control().sends().len(), 1);
    // The first one's is mined.
    stage.control().cut_off(false);
    paid_once(&mut stage).await;
}

#[actix_rt::test]
async fn another_wallet_behind_the_url_is_asked_nothing_and_believed_nothing() {
    for was_asked in [false, true] {
        let mut stage = reserved_with_standby(Kind::Sqlite, false).await;
        let before = if was_asked { IntentState::Broadcast } else { IntentState::Reserved };
        if was_asked {
            stage.tick().await;
            stage.control().clear_mempool();
        }
        fail_over(&mut stage);
        for blocks in [1, 102] {
            stage.mine_empty(blocks);
            stage.ticks(3).await;
            let held = stage.only().await;
            assert_eq!((held.state, held.attempts.len()), (before, 1));
            assert!(held.attention.as_deref().unwrap().contains("neither followed nor sent"), "{:?}", held.attention);
        }
        assert!(stage.standby.as_ref().unwrap().control().sends().is_empty());
        let back = place(&stage.daemon);
        stage.point_at(back);
        paid_once(&mut stage).await;
    }
}
