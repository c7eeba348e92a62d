//! The stateful session: named scripts, random ones, and what is left of a front after its end.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and says on what")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use fuzz::session::run;
use fuzz::session::script::{Act, Claim, Job, LedgerBehavior, Login, Nonce, ProverBehavior, Step, decode};
use fuzz::session::world::World;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use socket2::{Domain, Socket, Type};

/// Random scripts of a test run on each front.
const SCRIPTS: u64 = 300;

const LOGIN: Step = Step::Peer(0, Act::Login(Login::Good(0, None)));
const SHARE: Step = Step::Peer(0, Act::Submit(Job::Current, Nonce::Fresh, Claim::Good));
const AGAIN: Step = Step::Peer(0, Act::Submit(Job::Current, Nonce::Low(0), Claim::Good));
const BLOCK: Step = Step::Peer(0, Act::Submit(Job::Current, Nonce::Fresh, Claim::Block));
const OLDER: Step = Step::Peer(0, Act::Submit(Job::Older(0), Nonce::Fresh, Claim::Good));
const AWAIT: Step = Step::Peer(0, Act::Await);
const AWAIT_TIP: Step = Step::Peer(0, Act::AwaitTip);
const CORK: Step = Step::Peer(0, Act::Cork);
const DRIP: Step = Step::Peer(0, Act::Drip);
const RESET: Step = Step::Peer(0, Act::Reset);

/// Accepted shares of a script on a front of its own, which ends without leaving anything.
fn accepted(steps: &[Step]) -> usize {
    let world = World::start(true);
    let accepted = run(&world, steps);
    ends_empty(world);
    accepted
}

/// Nobody is known any more when the front has ended and the books are closed.
fn ends_empty(world: World) {
    let (metrics, books) = world.stop();
    assert_eq!((metrics.stratum_connections.get(), metrics.stratum_sessions.get()), (0, 0));
    let mut books = books.lock().unwrap();
    books.written.clear();
    let left = books.seen.iter().filter(|line| line.strong_count() > 0).count();
    assert_eq!(left, 0, "of {} miners", books.seen.len());
}

#[test]
fn a_good_share_is_accepted_and_a_second_one_like_it_is_not() {
    assert_eq!(accepted(&[LOGIN, SHARE, BLOCK, AGAIN, AGAIN, AWAIT]), 3);
}

#[test]
fn lines_in_one_piece_and_in_single_bytes_are_the_same() {
    assert_eq!(accepted(&[LOGIN, AWAIT, CORK, SHARE, AGAIN, AGAIN, SHARE, DRIP]), 3);
    assert_eq!(accepted(&[CORK, LOGIN, DRIP, SHARE, CORK, SHARE, Step::Peer(0, Act::Flush { keep: 7 }), DRIP]), 2);
}

#[test]
fn a_session_that_logs_in_again_is_one_session() {
    let other = Step::Peer(0, Act::Login(Login::Good(1, None)));
    assert_eq!(accepted(&[LOGIN, LOGIN, AWAIT, SHARE, other, AWAIT, SHARE, AWAIT]), 2);
}

/// The pool closes over bytes it has not read, while the miner, with little room, has not read its answers.
#[test]
fn answers_arrive_whatever_is_sent_behind_the_line_that_ends_the_connection() {
    let world = World::start(true);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&world.address.into()).unwrap();
    let mut miner = TcpStream::from(socket);
    let good = b"{\"id\":9,\"method\":\"x\"}\n".repeat(1_000);
    let sent = [&good[..], b"\xff\n", &good.repeat(10)].concat();
    // It may fail at the end of what nobody reads any more.
    let _all = miner.write_all(&sent);
    let answers = BufReader::new(miner).lines().map_while(Result::ok).count();
    assert_eq!(answers, 1_001);
    ends_empty(world);
}

#[test]
fn a_share_that_is_not_in_the_log_may_come_again_and_one_that_is_may_not() {
    let behaviors = [
        LedgerBehavior::Busy,
        LedgerBehavior::Full,
        LedgerBehavior::Down,
        LedgerBehavior::Disk(false),
        LedgerBehavior::Disk(true),
    ];
    for behavior in behaviors {
        let script = [LOGIN, Step::Ledger(behavior), AGAIN, AWAIT, Step::Ledger(LedgerBehavior::Takes), AGAIN, AWAIT];
        assert_eq!(accepted(&script), 1, "{behavior:?}");
    }
}

#[test]
fn a_share_that_the_ledger_holds_outlives_its_connection() {
    let hold = Step::Ledger(LedgerBehavior::Holds);
    assert_eq!(accepted(&[LOGIN, hold, SHARE, AGAIN, AGAIN, Step::Peer(0, Act::HalfClose), Step::Release]), 2);
    assert_eq!(accepted(&[LOGIN, hold, SHARE, RESET, LOGIN, SHARE, Step::Release, AWAIT]), 1, "one is told to nobody");
}

#[test]
fn an_old_template_is_good_for_its_grace_time_only() {
    for (stale, good) in [(false, 2), (true, 1)] {
        assert_eq!(accepted(&[LOGIN, AWAIT, Step::Tip { stale }, AWAIT_TIP, OLDER, SHARE, AWAIT]), good);
    }
}

#[test]
fn a_share_that_must_be_proven_waits_for_its_proof() {
    let script = [
        LOGIN,
        AWAIT,
        Step::Prover(ProverBehavior::Holds),
        Step::Peer(0, Act::Submit(Job::Current, Nonce::Fresh, Claim::Missing)),
    ];
    let world = World::start(false);
    assert_eq!(run(&world, &script), 1);
    ends_empty(world);
}

#[test]
fn random_scripts_break_no_promise_and_leave_nothing() {
    for claims_required in [true, false] {
        let world = World::start(claims_required);
        let mut random = StdRng::seed_from_u64(u64::from(claims_required));
        let mut accepted = 0;
        for _ in 0..SCRIPTS {
            let mut script = vec![0; random.random_range(3..192)];
            random.fill_bytes(&mut script);
            let script = decode(&script);
            println!("{script:?}"); // Shown when it breaks.
            accepted += run(&world, &script);
        }
        assert!(accepted > 100, "scripts are worth nothing when they get {accepted} shares accepted");
        ends_empty(world);
    }
}
