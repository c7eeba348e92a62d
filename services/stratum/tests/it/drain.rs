//! The end of a front, and the next one on the same socket.
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use socket2::SockRef;
use stratum::CloseReason;

use crate::ledger::LedgerBehavior;
use crate::miner::{Miner, login_line, share_ok};
use crate::pool::{PATIENCE, Pool, Setup, template, with_pool};

#[test]
fn a_drain_answers_what_has_arrived_and_then_closes() {
    with_pool(
        |_| (),
        async |pool| {
            pool.mine(&template(41_237));
            let mut miner = Miner::connect(pool).await;
            let mut idle = Miner::connect(pool).await;
            let job = miner.log_in(1, "rig").await;
            idle.log_in(2, "rig").await;
            pool.ledger.set(LedgerBehavior::Holds);
            miner.send(&job.submit(2, 0)).await;
            pool.until("the submit under way", |pool| pool.ledger.held() == 1).await;
            miner.send(&job.submit(3, 1)).await;
            let (ledger, address) = (std::sync::Arc::clone(&pool.ledger), pool.address);
            let answers = async {
                assert!(idle.is_closed().await, "whoever is owed nothing goes at once");
                // Both submits are with the ledger: the one behind had arrived.
                while ledger.held() < 2 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody is let in any more");
                ledger.release();
                let answers = [miner.line().await, miner.line().await];
                assert_eq!(answers, [share_ok(2), share_ok(3)]);
                assert!(miner.is_closed().await);
            };
            let begun = Instant::now();
            let stratum = pool.stratum.take().unwrap();
            tokio::join!(stratum.drain(PATIENCE), answers);
            assert!(begun.elapsed() < PATIENCE / 2, "it does not wait for its grace to end");
            pool.until("the count", |pool| pool.closed(CloseReason::Drained) == 2).await;
        },
    );
}

#[test]
fn each_thread_shows_that_it_turns_until_the_drain_has_ended_it() {
    with_pool(
        |_| (),
        async |pool| {
            let stratum = pool.stratum.take().unwrap();
            let pulses = stratum.pulses();
            let beats = || pulses.iter().map(|pulse| pulse.beats()).collect::<Vec<_>>();
            pool.until("a first beat of each", |_| beats().iter().all(|beats| *beats > 0)).await;
            let before = beats();
            pool.until("a further beat of each", |_| beats().iter().zip(&before).all(|(now, then)| now > then)).await;
            stratum.drain(PATIENCE).await;
            pool.until("rest", |_| beats().iter().all(|beats| *beats == 0)).await;
        },
    );
}

#[test]
fn a_drain_does_not_wait_longer_than_its_grace() {
    with_pool(
        |_| (),
        async |pool| {
            pool.mine(&template(41_237));
            let mut miner = Miner::connect(pool).await;
            let job = miner.log_in(1, "rig").await;
            pool.ledger.set(LedgerBehavior::Holds);
            miner.send(&job.submit(2, 0)).await;
            pool.until("the submit under way", |pool| pool.ledger.held() == 1).await;
            let begun = Instant::now();
            pool.drain(Duration::from_millis(500)).await;
            assert!((Duration::from_millis(450)..Duration::from_secs(5)).contains(&begun.elapsed()));
            assert!(miner.is_closed().await);
        },
    );
}

/// Runs in a process of its own: a front on whatever socket it was given, until its input ends.
fn front_in_a_process(listen: &str) {
    runtime::block_on(async {
        let mut setup = Setup::new();
        setup.settings.listen = listen.parse().unwrap();
        let mut pool = Pool::start(setup);
        pool.mine(&template(41_237));
        let end = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
        end.await.unwrap().unwrap();
        pool.drain(Duration::from_secs(5)).await;
    });
}

/// Starts the front as systemd does: the socket is descriptor 3, and the environment says so.
fn start(listener: &TcpListener) -> std::process::Child {
    use std::os::fd::AsRawFd;
    SockRef::from(listener).set_cloexec(false).unwrap();
    let script = r#"exec 3<&"$0"; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@""#;
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("bash");
    command.args(["-c", script, &listener.as_raw_fd().to_string()]).arg(program);
    command.args(["--exact", "drain::a_front_takes_over_the_socket_of_its_starter", "--nocapture"]);
    command.env("TEST_LISTEN", listener.local_addr().unwrap().to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

fn stop(mut child: std::process::Child) {
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_front_takes_over_the_socket_of_its_starter() {
    // This very test is the program that it starts.
    if let Ok(listen) = std::env::var("TEST_LISTEN") {
        return front_in_a_process(&listen);
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let first = start(&listener);
    runtime::block_on(async {
        let mut miner = Miner::to(address).await;
        let job = miner.log_in(1, "rig").await;
        miner.send(&job.submit(2, 0)).await;
        assert_eq!(miner.line().await, share_ok(2));
        let stopping = tokio::task::spawn_blocking(move || stop(first));
        assert!(miner.is_closed().await);
        stopping.await.unwrap();
        // Nobody serves now, and still the connection is made.
        let mut early = Miner::to(address).await;
        early.send(&login_line(1, &crate::miner::address(1), "rig")).await;
        let second = start(&listener);
        assert_eq!(early.line().await, crate::miner::login_ok(1));
        early.job().await;
        drop(early);
        tokio::task::spawn_blocking(move || stop(second)).await.unwrap();
    });
}
