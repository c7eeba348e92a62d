//! Money leaves once, whatever happens in the middle.
use std::time::Duration;

use daemon_sim::{Action, Fault, MineOrder, Phase};
use e2e::{Config, Network, Pool, Proof, audit, wait_until};
use serde_json::json;
use store::payouts::IntentState;

const MINUTE: Duration = Duration::from_secs(60);
/// A settled payout on a loaded machine: a block to credit, coins that mature, blocks on top.
const SETTLE: Duration = Duration::from_secs(120);
const FEE_BPS: u64 = 100;
const SEND: &str = "wallet/send/advanced";

struct World {
    _place: tempfile::TempDir,
    network: Network,
    config: Config,
    proof: Proof,
}

impl World {
    fn new() -> World {
        World::on(FEE_BPS, &[])
    }

    fn on(fee_bps: u64, args: &[&str]) -> World {
        let place = tempfile::tempdir().unwrap();
        let network = Network::brisk(&place.path().join("network"), args);
        // With a fee there is change, which tells of a transaction that the wallet itself forgot.
        let config = Config::new(place.path(), &network).set("payout.interval", "1s").set("pool.fee_bps", fee_bps);
        World { _place: place, network, config, proof: Proof::with_fee(fee_bps) }
    }

    fn count(&self, state: IntentState) -> usize {
        self.config.books().payouts().iter().filter(|payout| payout.state == state).count()
    }

    /// A pool that has settled a payout.
    fn pool(&self) -> Pool {
        let pool = self.config.start_ready();
        self.wait_settled(1);
        pool
    }

    /// Waits for so many settled payouts, looking for double payments all the while.
    fn wait_settled(&self, count: usize) {
        wait_until(&format!("{count} settled payouts"), SETTLE, || {
            self.proof.payouts_are_sent_once(&self.network, &self.config);
            self.count(IntentState::Settled) >= count
        });
    }

    /// Makes the next send go wrong and waits until it did.
    fn break_next_send(&self, phase: Phase, action: Action) {
        self.break_next(SEND, phase, action);
    }

    fn break_next(&self, route: &str, phase: Phase, action: Action) {
        self.network.fault(&Fault::once(route, phase, action));
        wait_until("a send that goes wrong", MINUTE, || self.network.faults_left() == 0);
    }

    /// Waits for another attempt that spends the same outputs.
    fn wait_replacement(&self, pool: &Pool) {
        wait_until("a replacement", SETTLE, || pool.metric("meshpool_payouts_replaced_total", "") >= 1);
    }

    /// Closes the books and compares everything with everything.
    fn end(self, pool: Pool) {
        let (pool, settled) = self.proof.payouts_are_settled(&self.network, pool);
        assert!(settled > 1, "{settled} payouts were settled");
        self.proof.blocks_are_credited_once(&self.network, &self.config, 3);
        self.proof.shares_are_booked(&self.network, &self.config);
        audit(&self.config).assert_clean();
        assert_eq!(pool.terminate(), 0);
        audit(&self.config).assert_clean();
    }
}

#[test]
fn a_reply_that_is_lost_ends_in_one_payment() {
    let world = World::new();
    let pool = world.pool();
    for phase in [Phase::During, Phase::Effected] {
        let before = world.count(IntentState::Settled);
        world.break_next_send(phase, Action::Drop);
        // The one that went wrong and one after it.
        world.wait_settled(before + 2);
    }
    world.end(pool);
}

#[test]
fn a_daemon_that_restarts_in_the_middle_of_a_send_pays_once() {
    let world = World::new();
    let pool = world.pool();
    // Before anything was sent: the key stays `accepted` for ever, and another attempt spends the same outputs.
    let before = world.count(IntentState::Settled);
    world.break_next_send(Phase::During, Action::Restart { down_ms: 500 });
    world.wait_replacement(&pool);
    world.wait_settled(before + 2);
    world.end(pool);
}

#[test]
fn a_transaction_that_the_daemon_forgot_but_the_network_did_not_pays_once() {
    let world = World::new();
    let pool = world.pool();
    let before = world.count(IntentState::Settled);
    world.break_next_send(Phase::Effected, Action::Restart { down_ms: 500 });
    wait_until("the daemon to be back", MINUTE, || pool.reasons().is_some_and(|reasons| reasons.is_empty()));
    world.network.mine(&MineOrder { forgotten: true, ..MineOrder::default() });
    world.wait_settled(before + 2);
    world.end(pool);
}

#[test]
fn a_forgotten_transaction_that_left_no_change_stops_no_other_payout_and_pays_once() {
    // Without a fee all of a reward is paid out, and the wallet keeps no trace of what it forgot.
    let world = World::on(0, &[]);
    let pool = world.pool();
    let before = world.count(IntentState::Settled);
    world.break_next_send(Phase::Effected, Action::Restart { down_ms: 500 });
    let doubtful = world.config.books().payouts().into_iter().find(|payout| payout.state == IntentState::Unknown);
    let doubtful = doubtful.expect("the one that was asked for").intent;
    wait_until("the daemon to be back", MINUTE, || pool.reasons().is_some_and(|reasons| reasons.is_empty()));
    world.network.mine(&MineOrder { forgotten: true, ..MineOrder::default() });
    wait_until("its end or a word to the operator", SETTLE, || {
        let payouts = world.config.books().payouts();
        let payout = payouts.into_iter().find(|payout| payout.intent == doubtful).unwrap();
        payout.state == IntentState::Settled || payout.attention.is_some()
    });
    world.wait_settled(before + 3);
    audit(&world.config).assert_clean();
    assert_eq!(pool.terminate(), 0);
}

#[test]
fn a_forgotten_transaction_that_is_mined_after_its_replacement_was_sent_pays_once() {
    let world = World::new();
    let pool = world.pool();
    let before = world.count(IntentState::Settled);
    world.break_next_send(Phase::Effected, Action::Restart { down_ms: 500 });
    world.wait_replacement(&pool);
    // Whichever of them is first takes the outputs.
    world.network.mine(&MineOrder { forgotten: true, empty: true, ..MineOrder::default() });
    world.wait_settled(before + 2);
    world.end(pool);
}

#[test]
fn a_pool_killed_at_each_step_of_a_payout_pays_once() {
    let world = World::new();
    let mut pool = world.pool();
    let slow = || Action::DelayMs(2_000);
    for step in ["asked", "sent, not told", "broadcast", "confirmed"] {
        let before = world.count(IntentState::Settled);
        match step {
            "asked" => world.break_next_send(Phase::During, slow()),
            "sent, not told" => world.break_next_send(Phase::Effected, slow()),
            "broadcast" => wait_until(step, MINUTE, || world.count(IntentState::Broadcast) > 0),
            _ => wait_until(step, MINUTE, || world.count(IntentState::Confirmed) > 0),
        }
        pool.process.kill();
        println!("killed when a payout was {step}: {before} settled before");
        world.proof.payouts_are_sent_once(&world.network, &world.config);
        audit(&world.config).assert_clean();
        pool = world.config.start_ready();
        world.wait_settled(before + 2);
    }
    world.end(pool);
}

#[test]
fn a_wallet_that_is_locked_is_opened_again_and_nothing_is_lost() {
    let world = World::new();
    let pool = world.pool();
    let before = world.count(IntentState::Settled);
    world.network.order("/wallet/lock", &json!({}));
    world.wait_settled(before + 2);
    assert!(pool.process.log().contains("daemon's wallet is open"));
    world.end(pool);
}

#[test]
fn a_panic_while_a_send_is_under_way_pays_once() {
    let world = World::new();
    let pool = world.pool();
    for (panics, phase) in (1..).zip([Phase::During, Phase::Effected]) {
        let before = world.count(IntentState::Settled);
        world.break_next_send(phase, Action::DelayMs(1_000));
        pool.drill(&json!({ "panic": "payout" }));
        wait_until("the panic", MINUTE, || {
            pool.metric("meshpool_actor_restarts_total", "actor=\"payout\",cause=\"panicked\"") == panics
        });
        world.wait_settled(before + 2);
    }
    world.end(pool);
}

#[test]
fn a_locked_wallet_without_a_password_is_named_and_payouts_go_on_when_it_is_opened() {
    let world = World::new();
    let pool = world.pool();
    assert_eq!(pool.terminate(), 0);
    let config = world.config.clone().set("daemon.wallet_password_file", "");
    let mut pool = config.start_ready();
    world.network.order("/wallet/lock", &json!({}));
    pool.wait_reason("payouts wait for the wallet", MINUTE);
    let accepted = pool.metric("meshpool_blocks_accepted_total", "");
    wait_until("a block all the same", MINUTE, || pool.metric("meshpool_blocks_accepted_total", "") > accepted);
    // An operator opens it by hand.
    let before = world.count(IntentState::Settled);
    world.network.unlock_wallet();
    pool.wait_ready();
    world.wait_settled(before + 2);
    world.end(pool);
}

#[test]
fn a_daemon_with_only_the_basic_routes_pays_and_its_doubts_are_an_operators() {
    let world = World::on(FEE_BPS, &["--routes", "basic"]);
    let pool = world.pool();
    // Nobody can be asked what became of it, so nobody asks for it again.
    world.break_next("wallet/send", Phase::Effected, Action::Drop);
    let in_doubt = || {
        let payouts = world.config.books().payouts().into_iter();
        payouts.filter(|payout| payout.state == IntentState::Unknown && payout.attention.is_some()).count()
    };
    wait_until("a word to the operator", MINUTE, || in_doubt() == 1);
    let before = world.count(IntentState::Settled);
    world.wait_settled(before + 2);
    assert_eq!(in_doubt(), 1);
    let shown = pool.get("/api/payouts/recent");
    assert!(shown["items"].as_array().unwrap().iter().any(|payout| payout["attention"].is_string()), "{shown}");
    operator_commands(&world.config);
    world.proof.payouts_are_sent_once(&world.network, &world.config);
    audit(&world.config).assert_clean();
    assert_eq!(pool.terminate(), 0);
}

/// Beside a running pool that has one payout in doubt.
fn operator_commands(config: &Config) {
    let run = |command: &str, args: &[&str], code: i32| {
        let (ended, out, log) = config.command_with(command, args);
        assert_eq!(ended, code, "{command} {args:?}\n{out}\n{log}");
        out
    };
    let listed = run("payouts", &[], 0);
    let doubt = listed.lines().find(|line| line.contains("  unknown  ")).unwrap();
    assert!(listed.contains("needs an operator: its outcome is unknown"), "{listed}");
    let id = doubt.split("  ").next().unwrap();
    let shown = run("payouts", &["show", &id[..8]], 0);
    for part in ["request 1 to send", "Look, in this order", "meshpool payouts release", id] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    run("payouts", &["show", "nonsense"], 64);
    run("payouts", &["sent", id, "--txid", "ab"], 64);
    run("payouts", &["release", id, "--because", "the wallet's history does not have it"], 0);
    let hosts = run("hosts", &[], 0);
    let name = hosts.split("  ").next().unwrap();
    assert!(hosts.contains("heard of just now"), "{hosts}");
    run("hosts", &["retire", name], 64);
    run("hosts", &["retire", "nobody"], 64);
    let waits = || run("payouts", &["show", id], 0).contains("counts from block");
    wait_until("the pool says when the payout is given up", MINUTE, waits);
}
