//! Two daemons that share a chain: one dies, comes back behind, is cut off. Miners notice nothing, and the books follow
//! the chain with the most work.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use daemon_sim::MineOrder;
use e2e::{Client, Config, Network, Pool, Proof, address_of, audit, wait_until};
use store::blocks::{Block, BlockState};

const MINUTE: Duration = Duration::from_secs(60);
const TWO_MINUTES: Duration = Duration::from_secs(120);
/// From the death of the followed daemon to the next daemon's job. Its last block is known to both.
const NEXT_JOB: Duration = Duration::from_secs(10);
/// Depth of a credit in these tests.
const DEPTH: u64 = 3;
/// A block's outcome is final there.
const FINAL_DEPTH: u64 = 100;

struct World {
    _place: tempfile::TempDir,
    /// The preferred daemon, and the one to fall back to, whose process has the miners.
    daemons: [Network; 2],
    config: Config,
}

impl World {
    fn new() -> World {
        let place = tempfile::tempdir().unwrap();
        let daemons = Network::pair(&place.path().join("network"));
        let config = Config::pair(place.path(), &daemons).set("payout.interval", "1s");
        World { _place: place, daemons, config }
    }

    fn first(&self) -> &Network {
        &self.daemons[0]
    }

    fn second(&self) -> &Network {
        &self.daemons[1]
    }

    /// Waits for so many more blocks that a daemon accepted.
    fn wait_accepted(&self, pool: &Pool, more: u64) {
        let accepted = || pool.metric("meshpool_blocks_accepted_total", "");
        let before = accepted();
        wait_until(&format!("{more} accepted blocks"), MINUTE, || accepted() >= before + more);
    }

    /// Others find blocks on one of the two.
    fn mine_on(network: &Network, count: u64) {
        network.mine(&MineOrder { count, ..MineOrder::default() });
    }

    /// The pool's blocks by whether they stand on the chain.
    fn blocks(&self, network: &Network) -> (Vec<Block>, Vec<Block>) {
        let stands = |block: &Block| network.block_at(block.height.get()).as_ref() == Some(&block.hash);
        self.config.books().blocks().into_iter().partition(stands)
    }
}

/// What no miner may notice.
struct Peace {
    watcher: Client,
    before: [u64; 3],
}

impl Peace {
    const FIGURES: [&str; 3] =
        ["meshpool_stratum_closed_total", "meshpool_stratum_connections_total", "meshpool_shares_busy_total"];

    fn watch(pool: &Pool) -> Peace {
        let watcher = Client::login(&pool.stratum(), &address_of("watcher"), "w");
        Peace { watcher, before: Peace::figures(pool) }
    }

    fn figures(pool: &Pool) -> [u64; 3] {
        Peace::FIGURES.map(|name| pool.metric(name, ""))
    }

    /// No connection ended, none came again, and no share was refused but for its age.
    fn check(&mut self, pool: &Pool) {
        assert!(self.watcher.is_open(), "a connection was dropped");
        assert_eq!(Peace::figures(pool), self.before, "{:?}", Peace::FIGURES);
        let refused = |label: &str| pool.metric("meshpool_shares_rejected_by_reason_total", label);
        assert_eq!(refused(""), refused("reason=\"stale job\""), "honest work was refused");
    }
}

fn switches(pool: &Pool) -> u64 {
    pool.metric("meshpool_daemon_switches_total", "")
}

#[test]
fn a_daemon_that_is_killed_is_replaced_and_taken_again_only_when_it_has_caught_up() {
    let mut world = World::new();
    let proof = Proof::default();
    let mut pool = world.config.start_ready();
    world.wait_accepted(&pool, 3);
    let paid = world.config.books().reward_address().unwrap();
    assert!(world.first().income(&paid).iter().any(|income| income.is_coinbase), "the first daemon's wallet is paid");
    let mut peace = Peace::watch(&pool);
    peace.watcher.job();

    // Killed while miners work.
    world.daemons[0].stop();
    let (killed_at, height) = (Instant::now(), world.second().tip().height);
    peace.watcher.job_above(height + 1);
    let waited = killed_at.elapsed();
    println!("a job of the second daemon after {waited:?}");
    assert!(waited < NEXT_JOB, "{waited:?}");
    world.wait_accepted(&pool, 5);
    assert_eq!(switches(&pool), 1);
    // Mining goes on; the wallet is where nobody answers.
    wait_until("a word on payouts, and no other", MINUTE, || {
        pool.reasons().is_some_and(|reasons| reasons == ["payouts wait: the wallet's daemon does not answer"])
    });
    assert_eq!(pool.degraded(), ["daemon 1 does not answer"]);
    let own =
        world.second().income(&paid).into_iter().filter(|income| income.is_coinbase && income.height > height + 1);
    assert!(own.count() >= 3, "blocks of the second daemon's templates pay the address of the first one's wallet");
    peace.check(&pool);

    // It comes back, and has not heard of anything yet.
    world.second().cut_off(true);
    world.daemons[0].run();
    assert!(world.first().tip().total_work < world.second().tip().total_work);
    wait_until("a word on the daemon that is behind", MINUTE, || {
        pool.degraded() == ["daemon 1 is behind another daemon"]
    });
    let before = peace.watcher.job().height;
    world.wait_accepted(&pool, 12);
    assert!(peace.watcher.job_above(before + 5).height > world.first().tip().height + 5);
    assert_eq!(switches(&pool), 1, "a daemon on an old tip is not used");
    peace.check(&pool);

    world.second().cut_off(false);
    wait_until("a switch back", MINUTE, || switches(&pool) == 2);
    wait_until("one chain", MINUTE, || Network::agree(&world.daemons));
    let height = world.first().tip().height;
    assert!(peace.watcher.job_above(height).height > before + 5);
    world.wait_accepted(&pool, 3);
    wait_until("a pool that lacks nothing", MINUTE, || {
        pool.reasons().is_some_and(|reasons| reasons.is_empty()) && pool.degraded().is_empty()
    });
    peace.check(&pool);
    drop(peace);
    // What a push costs, and how long a tip takes to become a job, are measured.
    let seconds = |label: &str| pool.metric("meshpool_template_tip_to_job_seconds_bucket", label);
    let (pushes, within) = (seconds("le=\"+Inf\""), seconds("le=\"5\""));
    assert!(pushes > 10 && within * 10 >= pushes * 9, "{within} of {pushes} jobs within 5 s of their tip");
    let lost = pool.metric("meshpool_stratum_lost_to_tips_ms_total", "");
    assert!(lost > 0 && lost < pool.metric("meshpool_stratum_mining_ms_total", ""), "{lost}");

    proof.shares_are_booked(world.second(), &world.config);
    proof.blocks_are_credited_once(world.second(), &world.config, DEPTH);
    // The wallet that pays is the first daemon's; its transactions reach the other one's blocks too.
    wait_until("a payout", TWO_MINUTES, || !world.config.books().payouts().is_empty());
    assert!(pool.process.ended().is_none());
    assert_eq!(pool.terminate(), 0);
    audit(&world.config).assert_clean();
}

#[test]
fn a_split_is_mined_on_the_side_with_more_work_and_the_books_follow_when_it_heals() {
    let world = World::new();
    let config = world.config.clone().set("payout.enabled", false);
    let pool = config.start_ready();
    world.wait_accepted(&pool, 4);
    let mut peace = Peace::watch(&pool);
    wait_until("one chain", MINUTE, || Network::agree(&world.daemons));

    // Another miner's block stands on the second daemon's side, so the pool's are not taken there.
    world.second().cut_off(true);
    World::mine_on(world.second(), 1);
    let fork = world.first().tip().height;
    let credited = || world.config.books().blocks().iter().filter(|block| block.state == BlockState::Credited).count();
    let before = credited();
    wait_until("credits on the first one's side", TWO_MINUTES, || {
        world.first().tip().height >= fork + 2 * DEPTH && credited() >= before + 2
    });
    assert_eq!((switches(&pool), pool.reasons()), (0, Some(Vec::new())));

    // Now the other side has more work.
    World::mine_on(world.second(), 30);
    wait_until("a switch to the side with more work", MINUTE, || switches(&pool) == 1);
    let low = world.first().tip();
    assert!(low.total_work < world.second().tip().total_work);
    world.wait_accepted(&pool, 5);
    assert_eq!(world.first().tip(), low, "nothing is mined on the side with less work");
    let (standing, left) = world.blocks(world.second());
    assert!(left.len() >= 2 && standing.iter().any(|block| block.height.get() > low.height));
    wait_until("credits that are taken back", MINUTE, || {
        let (_, left) = world.blocks(world.second());
        left.iter().all(|block| block.state != BlockState::Credited)
    });

    world.second().cut_off(false);
    wait_until("one chain", MINUTE, || Network::agree(&world.daemons));
    wait_until("a switch back", MINUTE, || switches(&pool) == 2);
    world.wait_accepted(&pool, 3);
    peace.check(&pool);
    drop(peace);

    // Deep enough that nothing changes any more.
    // Their times run ahead of the clock, which the daemon's templates do not follow; the pool's do.
    World::mine_on(world.first(), FINAL_DEPTH + 5);
    wait_until("one chain", MINUTE, || Network::agree(&world.daemons));
    world.wait_accepted(&pool, 2);
    let states = || {
        let (standing, left) = world.blocks(world.second());
        let deep = world.second().tip().height - FINAL_DEPTH;
        let mut states: BTreeMap<(bool, &str), usize> = BTreeMap::new();
        for (stands, blocks) in [(true, standing), (false, left)] {
            for block in blocks.iter().filter(|block| block.height.get() <= deep) {
                *states.entry((stands, block.state.as_str())).or_default() += 1;
            }
        }
        states
    };
    let is_settled = |((stands, state), _): (&(bool, &str), &usize)| match stands {
        true => *state == "credited",
        false => ["lost", "reversed"].contains(state),
    };
    wait_until("each block's last state", TWO_MINUTES, || states().iter().all(is_settled));
    let states = states();
    println!("{states:?}");
    assert!(states.contains_key(&(true, "credited")) && states.contains_key(&(false, "reversed")), "{states:?}");
    audit(&config).assert_clean();
    assert_eq!(pool.terminate(), 0);
    audit(&config).assert_clean();
}

#[test]
fn after_a_restart_beside_a_daemon_that_lags_an_old_tip_is_not_believed() {
    let mut world = World::new();
    let pool = world.config.start_ready();
    world.wait_accepted(&pool, 3);
    // The other one is on a chain that this one has not heard of.
    world.second().cut_off(true);
    World::mine_on(world.second(), 30);
    wait_until("a switch to the side with more work", MINUTE, || switches(&pool) == 1);
    world.wait_accepted(&pool, 1);
    let best = world.second().tip().height;
    assert_eq!(pool.terminate(), 0);
    world.daemons[1].stop();

    let mut pool = world.config.start();
    pool.wait_reason("less work than one seen before", MINUTE);
    let named = pool.reasons().unwrap().into_iter().find(|reason| reason.contains("less work")).unwrap();
    assert!(pool.reasons().unwrap().contains(&"no job yet".to_owned()), "{named}");
    pool.process.wait_log("meshpool accept-chain", MINUTE);
    // Nobody knows whether that chain is gone for good: after a while it is mined on, but not believed.
    wait_until("a job all the same", MINUTE, || pool.get("/api/stats")["chain"]["current_job_height"].is_u64());
    let job = pool.get("/api/stats")["chain"]["current_job_height"].as_u64().unwrap();
    assert!(job < best, "{job} {best}");
    pool.wait_reason("less work than one seen before", MINUTE);

    // Without a terminal nobody can be asked.
    let (code, out, log) = world.config.command("accept-chain");
    assert_eq!(code, 64, "{log}");
    assert!(out.contains(&format!("a chain of height {best} and work")) && log.contains("--yes"), "{out} {log}");
    pool.wait_reason("less work than one seen before", MINUTE);
    let (code, out, log) = world.config.command_with("accept-chain", &["--yes"]);
    assert_eq!(code, 0, "{log}");
    assert!(out.contains("given up"), "{out}");
    pool.wait_ready();
    assert_eq!(pool.terminate(), 0);
    audit(&world.config).assert_clean();
}
