//! The URL leads to another daemon: with the same wallet and no memory, or with another wallet.
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use daemon_sim::{Action, Fault, Params, Phase, SimulatedDaemon};
use settings::DaemonEndpoint;
use store::payouts::IntentState;

use crate::database::Kind;
use crate::harness::{COIN, Harness, PASSWORD, address, settings, until};

const SEND: &str = "wallet/send/advanced";
const WALLET: &str = "blocknet-testnet.wallet.dat";

/// Below the ports that the system gives to connections, so that none is taken away again.
fn free_address() -> SocketAddr {
    let is_free = |address: &SocketAddr| TcpListener::bind(address).is_ok();
    let random = |_| SocketAddr::from(([127, 0, 0, 1], rand::random_range(10_000..32_000)));
    (0..200).map(random).find(is_free).unwrap()
}

/// A harness with a standby on the same chain, and a payout to two miners that is about to be asked for.
async fn reserved_with_standby(kind: Kind, shares_wallet: bool) -> Harness {
    let peers = [free_address(), free_address()];
    let join = |params: &mut Params, own: usize| {
        params.peer_listen = Some(peers[own]);
        params.peers = vec![format!("http://{}", peers[1 - own])];
        (params.peer_dial, params.relay) = (Duration::ZERO, Duration::ZERO);
    };
    let mut harness = Harness::with(kind, settings(), |params| join(params, 0)).await;
    let dir = harness.dir.path().join("standby");
    std::fs::create_dir(&dir).unwrap();
    if shares_wallet {
        std::fs::copy(harness.dir.path().join("daemon").join(WALLET), dir.join(WALLET)).unwrap();
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
    harness.standby = Some(standby);
    harness.advance(0);
    harness.agree();
    harness.endow(6);
    harness.owe(&address(1), 100 * COIN).await;
    harness.owe(&address(2), 20 * COIN).await;
    harness.reserve().await;
    harness
}

fn place(daemon: &SimulatedDaemon) -> DaemonEndpoint {
    DaemonEndpoint { url: daemon.url(), cookie_path: Some(daemon.cookie_path()), ..DaemonEndpoint::default() }
}

/// The actor's URL leads to the standby from now on.
fn fail_over(harness: &mut Harness) {
    let to = place(harness.standby.as_ref().unwrap());
    harness.point_at(to);
}

async fn paid_once(harness: &mut Harness) {
    harness.settle().await;
    harness.sweep().await;
    harness.ticks(2).await;
    harness.mine(2);
    harness.check(&[(&address(1), 1), (&address(2), 1)]).await;
}

#[actix_rt::test]
async fn a_refusal_by_a_daemon_that_was_not_the_first_one_asked_pays_nobody_twice() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut harness = reserved_with_standby(kind, true).await;
        harness.fault(Fault::once(SEND, Phase::After, Action::Drop));
        harness.tick().await;
        assert_eq!(harness.only().await.state, IntentState::Unknown);
        until("the transaction waits there too", || harness.mempool_of_standby() == 1);
        fail_over(&mut harness);
        // It has neither the key nor the memo, and its own mempool refuses the same inputs.
        for _ in 0..4 {
            harness.ticks(3).await;
            harness.sweep().await;
            let intent = harness.only().await;
            assert!(intent.attempts[0].repeated);
            assert_ne!(intent.state, IntentState::Released);
            harness.mine_empty(1);
        }
        assert!(harness.standby.as_ref().unwrap().control().sends().is_empty(), "no other inputs were spent");
        paid_once(&mut harness).await;
    }
}

#[actix_rt::test]
async fn a_standby_that_has_not_heard_of_the_transaction_spends_the_same_inputs() {
    let mut harness = reserved_with_standby(Kind::Sqlite, true).await;
    harness.control().cut_off(true);
    harness.fault(Fault::once(SEND, Phase::After, Action::Drop));
    harness.tick().await;
    fail_over(&mut harness);
    harness.ticks(4).await;
    let sent = harness.only().await;
    assert_eq!((sent.state, sent.attempts.len()), (IntentState::Broadcast, 1));
    assert_eq!(harness.standby.as_ref().unwrap().control().sends().len(), 1);
    // The first one's is mined.
    harness.control().cut_off(false);
    paid_once(&mut harness).await;
}

#[actix_rt::test]
async fn another_wallet_behind_the_url_is_asked_nothing_and_believed_nothing() {
    for was_asked in [false, true] {
        let mut harness = reserved_with_standby(Kind::Sqlite, false).await;
        let before = if was_asked { IntentState::Broadcast } else { IntentState::Reserved };
        if was_asked {
            harness.tick().await;
            harness.control().clear_mempool();
        }
        fail_over(&mut harness);
        for blocks in [1, 102] {
            harness.mine_empty(blocks);
            harness.ticks(3).await;
            let held = harness.only().await;
            assert_eq!((held.state, held.attempts.len()), (before, 1));
            assert!(held.attention.as_deref().unwrap().contains("neither followed nor sent"), "{:?}", held.attention);
        }
        assert!(harness.standby.as_ref().unwrap().control().sends().is_empty());
        let back = place(&harness.daemon);
        harness.point_at(back);
        paid_once(&mut harness).await;
    }
}
