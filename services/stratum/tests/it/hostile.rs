//! Whatever some connections do, an honest miner on the same listener keeps its latency.
use std::cell::Cell;
use std::time::{Duration, Instant};

use stratum::CloseReason;
use tokio::io::AsyncWriteExt;

use crate::miner::{Miner, address, error, login_line, login_ok, share_ok};
use crate::pool::{Pool, template, with_pool};

/// An honest miner's slowest answer out of ten may take so long beside the attack. (A debug build on two cores that
/// others use too; the attacks would take seconds if they had to be waited for.)
const SLOW: Duration = Duration::from_millis(250);
const RUN: Duration = Duration::from_secs(2);

/// Runs `attack` beside an honest miner; nine of ten of its shares must be answered in time, in every second.
async fn beside(pool: &Pool, attack: impl AsyncFnOnce()) {
    pool.mine(&template(41_237));
    let mut honest = Miner::connect(pool).await;
    let job = honest.log_in(77, "honest").await;
    let over = Cell::new(false);
    let mining = async {
        let (mut took, begun) = (Vec::new(), Instant::now());
        while !over.get() || begun.elapsed() < RUN {
            let id = took.len() as u64 + 2;
            let sent = Instant::now();
            honest.send(&job.submit(id, id)).await;
            assert_eq!(honest.line().await, share_ok(id));
            took.push(sent.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        took.sort();
        let slow = took[took.len() * 9 / 10];
        assert!(slow < SLOW, "nine of ten took up to {slow:?}, the worst of {} {:?}", took.len(), took.last());
    };
    let attacking = async {
        attack().await;
        over.set(true);
    };
    tokio::join!(mining, attacking);
}

fn busy(setup: &mut crate::pool::Setup) {
    setup.arbiters = 2;
    setup.settings.submit_rate_max = 10_000;
}

#[test]
fn connections_that_stop_reading_are_closed_with_a_reason() {
    with_pool(busy, async |pool| {
        beside(pool, async || {
            let mut deaf = Vec::new();
            for n in 0..50 {
                let mut miner = Miner::connect(pool).await;
                socket2::SockRef::from(&miner.stream).set_recv_buffer_size(4096).unwrap();
                miner.send(&login_line(1, &address(n % 5), "deaf")).await;
                deaf.push(miner);
            }
            // Every line is answered, no answer is read.
            let garbage = "{}\n".repeat(2000);
            for miner in &mut deaf {
                for _ in 0..200 {
                    let write = miner.stream.write_all(garbage.as_bytes());
                    // When the pool has closed it, or will not take more.
                    if !matches!(tokio::time::timeout(Duration::from_millis(50), write).await, Ok(Ok(()))) {
                        break;
                    }
                }
            }
            pool.until("all closed", |pool| pool.closed(CloseReason::SlowReader) == 50).await;
        })
        .await;
    });
}

#[test]
fn slow_logins_and_connections_that_say_nothing_disturb_nobody() {
    with_pool(
        |setup| {
            busy(setup);
            setup.settings.idle_timeout = Duration::from_secs(2);
        },
        async |pool| {
            beside(pool, async || {
                let mut silent = Vec::new();
                let mut slow = Vec::new();
                for n in 0..150 {
                    silent.push(Miner::from(pool, &format!("10.1.0.{n}")).await);
                    slow.push(Miner::from(pool, &format!("10.2.0.{n}")).await);
                }
                let login = login_line(1, &address(1), "slow");
                for byte in login.bytes().take(25) {
                    for miner in &mut slow {
                        // Some are closed by now.
                        let _gone = miner.stream.write_all(&[byte]).await;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                pool.until("all closed", |pool| pool.closed(CloseReason::LoginDeadline) == 300).await;
            })
            .await;
        },
    );
}

#[test]
fn lines_in_single_bytes_are_lines() {
    with_pool(busy, async |pool| {
        beside(pool, async || {
            let mut miners = Vec::new();
            for n in 0..20 {
                let mut miner = Miner::connect(pool).await;
                let job = miner.log_in(n % 5, "bytes").await;
                miners.push((miner, job));
            }
            for (miner, job) in &mut miners {
                for byte in (job.submit(2, 0) + "\n").bytes() {
                    miner.send_bytes(&[byte]).await;
                    tokio::task::yield_now().await;
                }
            }
            for (miner, _) in &mut miners {
                assert_eq!(miner.line().await, share_ok(2));
            }
        })
        .await;
    });
}

#[test]
fn a_megabyte_without_an_end_is_refused_at_its_first_8_kib() {
    with_pool(busy, async |pool| {
        beside(pool, async || {
            let megabyte = vec![b'x'; 1 << 20];
            for _ in 0..20 {
                let mut miner = Miner::connect(pool).await;
                // It is closed long before the end.
                let _sent = miner.stream.write_all(&megabyte).await;
            }
            pool.until("all closed", |pool| pool.closed(CloseReason::LineTooLong) == 20).await;
        })
        .await;
    });
}

#[test]
fn tls_garbage_on_the_plain_port_is_closed() {
    with_pool(busy, async |pool| {
        beside(pool, async || {
            for n in 0..100 {
                let mut miner = Miner::connect(pool).await;
                let first = if n % 2 == 0 { 0x16 } else { 0x80 };
                miner.send_bytes(&[&[first, 3, 1, 0xff, 0xff][..], &[0x9f; 2000], b"\n"].concat()).await;
                if n % 2 == 1 {
                    assert_eq!(miner.line().await, error(0, "request is not valid UTF-8"));
                }
                assert!(miner.is_closed().await);
            }
        })
        .await;
        pool.until("the counts", |pool| {
            (pool.closed(CloseReason::TlsFailed), pool.closed(CloseReason::NotUtf8)) == (50, 50)
        })
        .await;
    });
}

#[test]
fn half_open_connections_and_a_storm_of_connects_disturb_nobody() {
    with_pool(
        |setup| {
            busy(setup);
            setup.settings.max_connections_per_ip = 16;
        },
        async |pool| {
            beside(pool, async || {
                let mut held = Vec::new();
                for n in 0..100 {
                    let mut miner = Miner::from(pool, &format!("10.3.{n}.1")).await;
                    miner.send(&login_line(1, &address(1), "half")).await;
                    assert_eq!(miner.line().await, login_ok(1));
                    miner.job().await;
                    // It is gone without a goodbye: jobs are sent to it, and nothing comes back.
                    held.push(miner);
                }
                let begun = Instant::now();
                let mut connects = 0;
                while begun.elapsed() < Duration::from_secs(2) {
                    // What the real client does when it is closed at once: log in, look, come back without a pause.
                    let mut miner = Miner::from(pool, "10.4.0.1").await;
                    let login = login_line(1, &address(1), "storm") + "\n";
                    let _closed = miner.stream.write_all(login.as_bytes()).await;
                    drop(miner);
                    connects += 1;
                }
                assert!(connects > 64, "{connects}");
            })
            .await;
            assert!(pool.closed(CloseReason::ConnectRate) > 0);
            assert_eq!(pool.metrics.stratum_bans_total.get(), 0, "a miner in trouble is not banned");
            let mut told = false;
            for _ in 0..5 {
                let mut again = Miner::from(pool, "10.4.0.1").await;
                again.send(&login_line(1, &address(1), "storm")).await;
                told |= again.line().await == error(1, "you connect too often, wait a moment");
            }
            assert!(told);
        },
    );
}
