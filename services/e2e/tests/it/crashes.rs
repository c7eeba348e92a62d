//! The pool is killed at random moments while two miners work, and its books are put back to random ages between that; it
//! loses nothing and pays nothing twice.
use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use daemon_sim::Sent;
use e2e::{
    Client, Config, Copy, Fleet, Kind, Network, Pool, Proof, address_of, audit, wait_for, wait_gone, wait_until,
};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use store::payouts::IntentState;
use store::reads::PayoutRow;

/// Kills when nobody asks for more.
const KILLS: u64 = 8;
/// With the other database, which changes less of what a kill meets.
const KILLS_ON_POSTGRES: u64 = 4;
/// Books put back when nobody asks for more.
const RESTORES: u64 = 2;
/// The oldest of so many copies is as old as its successors allow.
const COPIES: usize = 4;
/// A log is folded again from the copy's age on, and its blocks are credited again.
const CATCH_UP: Duration = Duration::from_secs(450);
const MINUTE: Duration = Duration::from_secs(60);

/// A number from the environment.
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Lets time pass; the moment of a kill is not a state to wait for.
fn live(time: Duration) {
    std::thread::sleep(time);
}

/// The moment of the next kill: one of three hits the start, the others any moment of the life after it.
fn lifetime(chance: &mut StdRng) -> (bool, Duration) {
    match chance.random_range(0..3) {
        0 => (false, Duration::from_millis(chance.random_range(0..400))),
        _ => (true, Duration::from_millis(chance.random_range(0..8_000))),
    }
}

/// What happens to the pool next.
#[derive(Clone, Copy, PartialEq)]
enum Event {
    Kill,
    /// The books are an older copy from now on.
    Restore,
}

/// A pool, its books, and copies of them.
struct Campaign<'a> {
    chance: StdRng,
    network: Network,
    place: &'a Path,
    kind: Kind,
    config: Config,
    books: Copy,
    copies: VecDeque<Copy>,
    made: usize,
    proof: Proof,
}

impl Campaign<'_> {
    fn new(place: &Path, kind: Kind, seed: u64) -> Campaign<'_> {
        let network = Network::brisk(&place.join("network"), &[]);
        let books = kind.fresh(place, "books");
        let config = Config::new(place, &network).easy().set("payout.interval", "1s").database(&books.url);
        if let Kind::Postgres = kind {
            assert_eq!(config.command("migrate").0, 0);
        }
        let (chance, copies, proof) = (StdRng::seed_from_u64(seed), VecDeque::new(), Proof::default());
        Campaign { chance, network, place, kind, config, books, copies, made: 0, proof }
    }

    fn copy(&mut self, of: &str) -> Copy {
        self.made += 1;
        self.kind.copy(of, self.place, &format!("copy{}", self.made))
    }

    /// Remembers the books of a pool that does not run.
    fn remember(&mut self) {
        let copy = self.copy(&self.config.database_url());
        self.copies.push_back(copy);
        if self.copies.len() > COPIES {
            self.copies.pop_front();
        }
    }

    /// Puts one of the copies in the place of the books.
    fn put_back(&mut self) {
        let age = self.chance.random_range(0..self.copies.len());
        let url = self.copies[age].url.clone();
        let books = self.copy(&url);
        self.config = self.config.clone().database(&books.url);
        self.books = books;
    }

    /// Payouts that the wallet has sent and the books do not know.
    fn unknown(&self) -> usize {
        let known: Vec<String> =
            self.config.books().payouts().into_iter().map(|payout| hex::encode(payout.intent)).collect();
        let sends = self.network.sends();
        let memo = |sent: &Sent| sent.record.recipients.first().map(|to| to.memo_hex.clone());
        sends.iter().filter_map(memo).filter(|memo| !memo.is_empty() && !known.contains(memo)).count()
    }

    /// A payout that was planned in a copy and never sent, whose inputs were spent by one that the copy does not know: the
    /// pool asks, and an operator who looks into the wallet's history gives it up.
    fn answer(&self) {
        let asks = |payout: &PayoutRow| payout.state == IntentState::Unknown && payout.attention.is_some();
        for payout in self.config.books().payouts().into_iter().filter(asks) {
            let memo = hex::encode(&payout.intent);
            let is_of = |sent: &Sent| sent.record.recipients.iter().any(|to| to.memo_hex == memo);
            if !self.network.sends().iter().any(is_of) {
                let args = ["release", &payout.intent, "--because", "no send of the wallet has its memo"];
                // It may have been given up in the meantime: that it is, is waited for.
                drop(self.config.command_with("payouts", &args));
            }
        }
    }

    /// An operator takes into the books what the wallet has sent without them. Returns how many sends that were.
    fn adopt(&self, pool: &Pool) -> usize {
        let unknown = self.unknown();
        let held = |pool: &Pool| pool.reasons().map(|all| all.iter().any(|reason| reason.contains("payouts are held")));
        if unknown > 0 {
            wait_for("a word on older books", MINUTE, || held(pool)?.then_some(()));
        }
        let sent = self.network.sends().len();
        wait_until("payouts to go on", CATCH_UP, || {
            if held(pool) != Some(true) {
                return true;
            }
            assert!(
                self.unknown() == 0 || self.network.sends().len() == sent,
                "paid before it was known what was paid"
            );
            self.answer();
            let (code, out, log) = self.config.command_with("payouts", &["adopt", "--yes"]);
            assert_eq!(code, 0, "{out}{log}");
            false
        });
        unknown
    }

    /// Holds at any moment, with or without a pool.
    fn check(&self) -> usize {
        let kept =
            if self.config.log_dir().exists() { self.proof.shares_are_kept(&self.network, &self.config) } else { 0 };
        // Killed before it made its tables, it has no books to look at.
        if kept > 0 {
            if self.unknown() == 0 {
                self.proof.payouts_are_sent_once(&self.network, &self.config);
            }
            audit(&self.config).assert_clean();
        }
        kept
    }
}

/// Kills a pool again and again, and puts its books back between that.
#[expect(clippy::print_stdout, reason = "a failed campaign can be repeated by what it said")]
fn campaign(kind: Kind, kills: u64, restores: u64) {
    let seed = asked("MESHPOOL_E2E_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    println!("MESHPOOL_E2E_SEED={seed} MESHPOOL_E2E_KILLS={kills} MESHPOOL_E2E_RESTORES={restores}");
    let place = tempfile::tempdir().unwrap();
    let mut world = Campaign::new(place.path(), kind, seed);
    let mut events: Vec<Event> = (1..kills).map(|_| Event::Kill).chain((0..restores).map(|_| Event::Restore)).collect();
    events.shuffle(&mut world.chance);
    // The first one hits a pool without a past, the last one a pool with payouts.
    events.insert(0, Event::Kill);
    if let Some(place) = events.iter().rposition(|event| *event == Event::Restore) {
        events[place..].rotate_left(1);
    }
    for (n, event) in events.into_iter().enumerate() {
        if event == Event::Restore {
            world.put_back();
        }
        let (after_ready, time) = lifetime(&mut world.chance);
        let began_at = Instant::now();
        let mut pool = if after_ready { world.config.start_ready() } else { world.config.start() };
        let started = began_at.elapsed();
        let adopted = if after_ready { world.adopt(&pool) } else { 0 };
        if after_ready {
            audit(&world.config).assert_clean();
        }
        live(time);
        pool.process.kill();
        let kept = world.check();
        let what = if event == Event::Restore { "put back, killed" } else { "killed" };
        println!("{}: {what} {time:?} after {started:?} of start, {adopted} adopted, {kept} shares kept", n + 1);
        if n == 0 {
            assert_eq!(world.config.command("migrate").0, 0);
        }
        if n == 0 || world.chance.random_range(0..3) == 0 {
            world.remember();
        }
    }
    let pool = world.config.start_ready();
    world.adopt(&pool);
    let before = world.check();
    let (network, config, proof) = (&world.network, &world.config, &world.proof);
    wait_until("shares after the last start", MINUTE, || proof.shares_are_kept(network, config) > before + 20);
    proof.shares_are_booked(network, config);
    let blocks = proof.blocks_are_credited_once(network, config, 3);
    audit(config).assert_clean();
    wait_until("a payout", MINUTE, || !config.books().payouts().is_empty());
    wait_gone("payouts in doubt", CATCH_UP, || {
        world.answer();
        let payouts = config.books().payouts().into_iter();
        payouts.filter(|payout| payout.state == IntentState::Unknown).map(|payout| payout.intent).collect()
    });
    let (pool, payouts) = proof.payouts_are_settled(network, pool);
    println!("{before} shares, {blocks} blocks and {payouts} payouts in all");
    assert!(payouts > 0, "nothing was paid");
    audit(config).assert_clean();
    assert_eq!(pool.terminate(), 0);
    audit(config).assert_clean();
}

#[test]
fn a_killed_pool_loses_no_acknowledged_share_and_books_everything_once() {
    let restores = asked("MESHPOOL_E2E_RESTORES").unwrap_or(RESTORES);
    campaign(Kind::Sqlite, asked("MESHPOOL_E2E_KILLS").unwrap_or(KILLS), restores);
}

#[test]
fn a_killed_pool_on_postgres_loses_no_acknowledged_share_and_books_everything_once() {
    let restores = asked("MESHPOOL_E2E_RESTORES").unwrap_or(RESTORES);
    campaign(Kind::Postgres, asked("MESHPOOL_E2E_KILLS").unwrap_or(KILLS_ON_POSTGRES), restores);
}

#[test]
fn a_flooded_pool_that_is_killed_has_every_share_that_it_acknowledged() {
    const FLOOD_KILLS: u64 = 5;
    let seed = asked("MESHPOOL_E2E_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    println!("MESHPOOL_E2E_SEED={seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let place = tempfile::tempdir().unwrap();
    // Nothing is hashed here, so that there are thousands of shares in a second.
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &["--difficulty-floor", "1000000"]);
    let config = Config::new(place.path(), &network).trusting().easy();
    let mut proof = Proof::default();
    for kill in 1..=FLOOD_KILLS {
        let mut pool = config.start_ready();
        let flood = |name: &str| {
            let mut client = Client::login(&pool.stratum(), &address_of(name), "flood");
            let job = client.job();
            let thread_job = job.clone();
            (job, std::thread::spawn(move || client.flood(&thread_job)))
        };
        let floods = [flood("first"), flood("second")];
        live(Duration::from_millis(chance.random_range(100..1_500)));
        pool.process.kill();
        for (job, flood) in floods {
            let acknowledged = flood.join().unwrap().acknowledged;
            acknowledged.iter().for_each(|nonce| proof.acknowledged(&job, *nonce));
        }
        println!("kill {kill}: {} shares kept", proof.shares_are_kept(&network, &config));
        audit(&config).assert_clean();
    }
    let pool = config.start_ready();
    assert!(proof.shares_are_kept(&network, &config) > 1_000);
    proof.shares_are_booked(&network, &config);
    audit(&config).assert_clean();
    assert_eq!(pool.terminate(), 0);
}
