//! A database from a copy, beside today's share log and today's wallet: what was paid since the copy is in the wallet's
//! history and nowhere else.
use std::time::Duration;

use daemon_sim::MineOrder;
use e2e::{Config, Copy, Kind, Network, Pool, Proof, audit, wait_for, wait_until};
use store::payouts::IntentState;
use store::reads::PayoutRow;

const MINUTE: Duration = Duration::from_secs(60);
const SETTLE: Duration = Duration::from_secs(150);
/// A log of some minutes is folded again and its blocks are credited again, on a loaded machine.
const CATCH_UP: Duration = Duration::from_secs(450);
const FEE_BPS: u64 = 100;
/// Begin of what `/readyz` says while the wallet has sends that the books do not know.
const UNKNOWN: &str = "payouts are held: the wallet has sends that the books do not know";

struct World {
    place: tempfile::TempDir,
    network: Network,
    config: Config,
    proof: Proof,
    kind: Kind,
    /// The books from the beginning.
    _books: Copy,
}

impl World {
    fn new(kind: Kind, own_funds: bool) -> World {
        let place = tempfile::tempdir().unwrap();
        let network = Network::brisk(&place.path().join("network"), &[]);
        let books = kind.fresh(place.path(), "books");
        let config = Config::new(place.path(), &network)
            .set("payout.interval", "1s")
            .set("pool.fee_bps", FEE_BPS)
            .database(&books.url);
        let (code, out, log) = config.command("migrate");
        assert_eq!(code, 0, "{out}{log}");
        let world = World { place, network, config, proof: Proof::with_fee(FEE_BPS), kind, _books: books };
        // A pool opens the wallet.
        assert_eq!(world.config.start_ready().terminate(), 0);
        if own_funds {
            // It covers a second payment of everything: solvency holds nothing up.
            let to = "wallet".to_owned();
            world.network.mine(&MineOrder { count: 40, to, empty: true, ..MineOrder::default() });
        }
        world
    }

    fn settled(&self, config: &Config) -> usize {
        config.books().payouts().iter().filter(|payout| payout.state == IntentState::Settled).count()
    }

    fn wait_settled(&self, config: &Config, count: usize) {
        wait_until(&format!("{count} settled payouts"), SETTLE, || self.settled(config) >= count);
    }

    fn copy(&self, name: &str) -> Copy {
        self.kind.copy(&self.config.database_url(), self.place.path(), name)
    }

    /// What the chain gave each miner is no more than what blocks had given it.
    fn nobody_got_more_than_was_due(&self, config: &Config) {
        for miner in &self.network.miners {
            let income = self.network.income(&miner.address).into_iter().filter(|income| !income.is_coinbase);
            let sent: u64 = income.map(|income| income.amount).sum();
            let books = config.books();
            let credited: u64 = books
                .blocks()
                .iter()
                .flat_map(|block| books.credits(block))
                .filter(|(account, _)| account.ends_with(&miner.address))
                .map(|(_, amount)| amount)
                .sum();
            assert!(sent <= credited, "{} was sent {sent} of {credited} due", miner.worker);
        }
    }

    /// Today's pool goes on with old books.
    fn restore(&self, copy: &Copy) -> Pool {
        let config = self.config.clone().database(&copy.url);
        let before = self.network.sends().len();
        let pool = config.start();
        wait_for("the pool to say that its books are older than the wallet", MINUTE, || {
            assert_eq!(self.network.sends().len(), before, "something was paid that was paid before");
            pool.reasons()?.iter().any(|reason| reason.starts_with(UNKNOWN)).then_some(())
        });
        let shown = run(&config, &[]);
        assert!(shown.starts_with("Payouts are held: the wallet has "), "{shown}");
        assert!(shown.contains("unknown send"), "{shown}");
        // Without an answer nothing is decided.
        let (code, out, log) = config.command_with("payouts", &["adopt"]);
        assert_eq!(code, 64, "{out}{log}");
        assert_eq!(self.network.sends().len(), before);
        let (code, out, log) = config.command_with("payouts", &["adopt", "--yes"]);
        assert_eq!(code, 0, "{out}{log}");
        wait_until("payouts to go on", CATCH_UP, || {
            pool.reasons().is_some_and(|reasons| !reasons.iter().any(|reason| reason.contains("payouts are held")))
        });
        let settled = self.settled(&config);
        self.wait_settled(&config, settled + 2);
        self.proof.payouts_are_sent_once(&self.network, &config);
        audit(&config).assert_clean();
        pool
    }
}

fn run(config: &Config, args: &[&str]) -> String {
    let (code, out, log) = config.command_with("payouts", args);
    assert_eq!(code, 0, "payouts {args:?}\n{out}\n{log}");
    out
}

/// Copies of three ages, put back one after the other, newest first.
fn nothing_is_paid_twice(kind: Kind, own_funds: bool) {
    let world = World::new(kind, own_funds);
    let before_any = world.copy("before_any");
    let pool = world.config.start_ready();
    world.wait_settled(&world.config, 2);
    assert_eq!(pool.terminate(), 0);
    let middle = world.copy("middle");
    let pool = world.config.start_ready();
    world.wait_settled(&world.config, 4);
    assert_eq!(pool.terminate(), 0);
    let last = world.copy("last");
    let known = world.config.books().payouts().len();
    let pool = world.config.start_ready();
    // One that is in no copy was planned and sent.
    wait_until("the last payout", SETTLE, || {
        let sent = |payout: &&PayoutRow| matches!(payout.state, IntentState::Confirmed | IntentState::Settled);
        world.config.books().payouts().iter().filter(sent).count() > known
    });
    assert_eq!(pool.terminate(), 0);

    for copy in [&last, &middle, &before_any] {
        let pool = world.restore(copy);
        let config = pool.config.clone();
        let (pool, _) = world.proof.payouts_are_settled(&world.network, pool);
        world.nobody_got_more_than_was_due(&config);
        world.proof.shares_are_kept(&world.network, &config);
        assert_eq!(pool.terminate(), 0);
        audit(&config).assert_clean();
    }
}

#[test]
fn a_restored_sqlite_copy_pays_nothing_twice() {
    nothing_is_paid_twice(Kind::Sqlite, false);
}

#[test]
fn a_restored_sqlite_copy_beside_a_rich_wallet_pays_nothing_twice() {
    nothing_is_paid_twice(Kind::Sqlite, true);
}

#[test]
fn a_restored_postgres_copy_pays_nothing_twice() {
    nothing_is_paid_twice(Kind::Postgres, false);
}

#[test]
fn a_restored_postgres_copy_beside_a_rich_wallet_pays_nothing_twice() {
    nothing_is_paid_twice(Kind::Postgres, true);
}
