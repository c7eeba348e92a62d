//! Limits, bans, and whom they are counted by.
use std::time::{Duration, Instant};

use stratum::CloseReason;
use stratum::OriginSalt;

use crate::miner::{Miner, address, error, login_line, login_ok, share_ok};
use crate::pool::{Pool, template, with_pool};

/// Refused with `text`, and closed only after a pause.
async fn is_refused(miner: &mut Miner, text: &str) {
    let begun = Instant::now();
    miner.send(&login_line(9, &address(1), "rig")).await;
    assert_eq!(miner.line().await, error(9, text));
    assert!(miner.is_closed().await);
    assert!(begun.elapsed() > Duration::from_millis(1500), "closed at once, the client would spin");
}

#[test]
fn a_client_with_too_many_connections_is_told_so_and_its_neighbour_is_not() {
    with_pool(
        |setup| setup.settings.max_connections_per_ip = 2,
        async |pool| {
            pool.mine(&template(41_237));
            let mut held = Vec::new();
            for client in ["10.0.0.1", "10.0.0.1", "2001:db8:1:2::1", "2001:db8:1:2::2"] {
                let mut miner = Miner::from(pool, client).await;
                miner.log_in(1, "rig").await;
                held.push(miner);
            }
            for client in ["10.0.0.1", "2001:db8:1:2::3"] {
                let mut more = Miner::from(pool, client).await;
                is_refused(&mut more, "too many connections from your address").await;
            }
            pool.until("the count", |pool| pool.closed(CloseReason::LimitClient) == 2).await;
            Miner::from(pool, "10.0.0.2").await.log_in(1, "rig").await;
            Miner::from(pool, "2001:db8:1:3::1").await.log_in(1, "rig").await;
            drop(held.remove(0));
            pool.until("the place", |pool| pool.closed(CloseReason::Client) >= 1).await;
            Miner::from(pool, "10.0.0.1").await.log_in(1, "rig").await;
        },
    );
}

#[test]
fn whoever_is_refused_waits_whatever_it_sends() {
    with_pool(
        |setup| setup.settings.max_connections_per_ip = 1,
        async |pool| {
            let _held = Miner::from(pool, "10.0.0.1").await;
            pool.until("the place", |pool| pool.metrics.stratum_connections.get() == 1).await;
            // A handshake of TLS with a byte that ends a line, bytes that are no text, more than a line may have.
            let hello = [&[0x16, 3, 1, 2, 0, 1, b'\n'][..], &[0; 500]].concat();
            for bytes in [hello, vec![0xff; 100], vec![b'a'; 3 * wire::LINE_MAX]] {
                let begun = Instant::now();
                let mut miner = Miner::from(pool, "10.0.0.1").await;
                miner.send_bytes(&bytes).await;
                let answer = tokio::time::timeout(Duration::from_millis(1500), miner.next()).await;
                assert!(!matches!(answer, Ok(None)), "closed at once, the client would spin: {:?}", begun.elapsed());
                while miner.next().await.is_some() {}
            }
        },
    );
}

#[test]
fn a_full_pool_and_a_full_network_say_so() {
    with_pool(
        |setup| {
            setup.settings.max_connections = 18;
            setup.settings.max_connections_per_ip = 1;
        },
        async |pool| {
            let mut held = Vec::new();
            for n in 0..16 {
                let mut miner = Miner::from(pool, &format!("10.0.0.{n}")).await;
                miner.send(&login_line(1, &address(1), "rig")).await;
                miner.line().await;
                held.push(miner);
            }
            let mut crowded = Miner::from(pool, "10.0.0.99").await;
            is_refused(&mut crowded, "too many connections from your network").await;
            for client in ["10.0.1.1", "10.0.2.1"] {
                let mut miner = Miner::from(pool, client).await;
                miner.send(&login_line(1, &address(1), "rig")).await;
                assert_eq!(miner.line().await, login_ok(1));
                held.push(miner);
            }
            let mut late = Miner::from(pool, "10.0.3.1").await;
            is_refused(&mut late, "too many connections, try again later").await;
            assert_eq!((pool.closed(CloseReason::LimitPrefix), pool.closed(CloseReason::LimitTotal)), (1, 1));
        },
    );
}

#[test]
fn whoever_does_not_log_in_in_time_is_closed_unless_it_is_this_machine() {
    with_pool(
        |setup| setup.settings.idle_timeout = Duration::from_secs(2),
        async |pool| {
            let mut slow = Miner::from(pool, "10.0.0.1").await;
            let mut home = Miner::connect(pool).await;
            let drip = async |miner: &mut Miner| {
                for _ in 0..35 {
                    // The peer may be gone by now.
                    if tokio::io::AsyncWriteExt::write_all(&mut miner.stream, b"\n").await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            };
            tokio::join!(drip(&mut slow), drip(&mut home));
            assert!(slow.is_closed().await);
            pool.until("the count", |pool| pool.closed(CloseReason::LoginDeadline) == 1).await;
            home.send(&login_line(1, &address(1), "rig")).await;
            assert_eq!(home.line().await, login_ok(1));
            assert!(home.is_closed().await, "silence for longer than the idle timeout");
            pool.until("the count", |pool| pool.closed(CloseReason::Idle) == 1).await;
        },
    );
}

#[test]
fn half_a_line_for_ever_is_silence() {
    with_pool(
        |setup| setup.settings.idle_timeout = Duration::from_secs(2),
        async |pool| {
            pool.mine(&template(41_237));
            let mut miner = Miner::connect(pool).await;
            miner.log_in(1, "rig").await;
            for _ in 0..40 {
                if tokio::io::AsyncWriteExt::write_all(&mut miner.stream, b"x").await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            pool.until("the end", |pool| pool.closed(CloseReason::Idle) == 1).await;
        },
    );
}

#[test]
fn garbage_line_by_line_is_borne_for_a_while() {
    with_pool(
        |_| (),
        async |pool| {
            let mut named = Miner::from(pool, "10.0.0.1").await;
            let mut home = Miner::connect(pool).await;
            for n in 0..100 {
                home.send("garbage").await;
                assert_eq!(home.line().await, error(0, "invalid JSON"), "line {n}");
            }
            named.send_bytes("garbage\n".repeat(100).as_bytes()).await;
            let mut told = 0;
            loop {
                match named.line().await {
                    line if line == error(0, "invalid JSON") => told += 1,
                    line => break assert_eq!(line, error(0, "protocol violation limit exceeded, closing")),
                }
            }
            assert_eq!(told, 31);
            assert!(named.is_closed().await);
            pool.until("the count", |pool| pool.closed(CloseReason::InvalidLines) == 1).await;
        },
    );
}

#[test]
fn logins_over_and_over_are_refused() {
    with_pool(
        |_| (),
        async |pool| {
            let mut named = Miner::from(pool, "10.0.0.1").await;
            let mut home = Miner::connect(pool).await;
            for n in 0..30 {
                home.send(&login_line(n, &address(1), "rig")).await;
                assert_eq!(home.line().await, login_ok(n));
            }
            for n in 0..10 {
                named.send(&login_line(n, &address(1), "rig")).await;
                assert_eq!(named.line().await, login_ok(n));
            }
            named.send(&login_line(10, &address(1), "rig")).await;
            assert_eq!(named.line().await, error(10, "too many logins, wait a moment"));
            assert!(named.is_closed().await);
            pool.until("the count", |pool| pool.closed(CloseReason::LoginRate) == 1).await;
        },
    );
}

#[test]
fn a_client_has_a_budget_of_addresses() {
    with_pool(
        |setup| setup.settings.max_connections_per_ip = 1,
        async |pool| {
            let mut named = Miner::from(pool, "10.0.0.1").await;
            for n in [1, 2, 1, 3, 4] {
                named.send(&login_line(n, &address(n), "rig")).await;
                assert_eq!(named.line().await, login_ok(n));
            }
            named.send(&login_line(5, &address(5), "rig")).await;
            let text = "too many different addresses or workers from your address";
            assert_eq!(named.line().await, error(5, text));
            assert!(named.is_closed().await);
            pool.until("the count", |pool| pool.closed(CloseReason::Names) == 1).await;
            let mut neighbour = Miner::from(pool, "10.0.0.2").await;
            neighbour.send(&login_line(5, &address(5), "rig")).await;
            assert_eq!(neighbour.line().await, login_ok(5));
        },
    );
}

#[test]
fn a_flood_of_bytes_ends_the_connection() {
    with_pool(
        |_| (),
        async |pool| {
            let mut named = Miner::from(pool, "10.0.0.1").await;
            let mut home = Miner::connect(pool).await;
            let flood = "\n".repeat(1 << 20);
            // The pool may close before all of it is sent.
            let _sent = tokio::io::AsyncWriteExt::write_all(&mut named.stream, flood.as_bytes()).await;
            pool.until("the end", |pool| pool.closed(CloseReason::Bytes) == 1).await;
            home.send_bytes(flood.as_bytes()).await;
            home.send(&login_line(1, &address(1), "rig")).await;
            assert_eq!(home.line().await, login_ok(1));
        },
    );
}

#[test]
fn a_worker_name_is_cut_and_keeps_nothing_that_does_not_print() {
    with_pool(
        |_| (),
        async |pool| {
            pool.mine(&template(41_237));
            let name = address(1);
            for (sent, kept) in [
                (r"  rig\u0000-\u001b[1m7\n ", "rig-[1m7".to_owned()),
                (r"\u202egir\u200b", "gir".to_owned()),
                (r" \u0007 ", "default".to_owned()),
                ("näme", "näme".to_owned()),
                (&"ä".repeat(70), "ä".repeat(64)),
            ] {
                let mut miner = Miner::connect(pool).await;
                miner.send(&login_line(1, &name, sent)).await;
                assert_eq!(miner.line().await, login_ok(1));
                let job = miner.job().await;
                miner.send(&job.submit(2, 0)).await;
                assert_eq!(miner.line().await, share_ok(2));
                assert_eq!(&*pool.ledger.shares().last().unwrap().line.worker, kept);
            }
        },
    );
}

// === PROXY headers ===

fn v2(command: u8, client: [u8; 4], extension: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x20 | command, 0x11]);
    header.extend((12 + extension.len() as u16).to_be_bytes());
    header.extend(client);
    header.extend([127, 0, 0, 1, 1, 2, 3, 4]);
    header.extend(extension);
    header
}

async fn origin_after(pool: &Pool, header: &[u8]) -> messages::facts::Origin {
    let mut miner = Miner::connect(pool).await;
    let (first, second) = header.split_at(header.len() / 2);
    miner.send_bytes(first).await;
    tokio::task::yield_now().await;
    miner.send_bytes(second).await;
    let job = miner.log_in(1, "rig").await;
    miner.send(&job.submit(2, 0)).await;
    assert_eq!(miner.line().await, share_ok(2));
    pool.ledger.shares().last().unwrap().line.origin
}

#[test]
fn a_header_of_a_trusted_peer_names_the_client() {
    with_pool(
        |_| (),
        async |pool| {
            pool.mine(&template(41_237));
            let origin = |client: &str| OriginSalt([7; 32]).origin(client.parse().unwrap());
            let long = b"PROXY TCP6 2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff 2001:db8::1 65535 65535\r\n";
            for (header, client) in [
                (b"PROXY TCP4 10.9.8.7 127.0.0.1 56324 3333\r\n".to_vec(), "10.9.8.7"),
                (long.to_vec(), "2001:db8:aaaa:bbbb::"),
                (v2(1, [10, 9, 8, 7], &[]), "10.9.8.7"),
                (v2(1, [10, 9, 8, 7], &[4, 0, 3, 1, 2, 3]), "10.9.8.7"),
                (v2(0, [10, 9, 8, 7], &[]), "127.0.0.1"),
                (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
                (Vec::new(), "127.0.0.1"),
            ] {
                assert_eq!(origin_after(pool, &header).await, origin(client), "{client}");
            }
        },
    );
}

#[test]
fn a_header_that_is_none_ends_the_connection() {
    with_pool(
        |_| (),
        async |pool| {
            let mut too_long = v2(1, [10, 0, 0, 1], &[]);
            too_long[14] = 0xff;
            let mut headers = vec![b"PROXY TCP4 10.0.0.300 1 2 3\r\n".to_vec(), too_long];
            headers.extend([b"PROXY ".repeat(20), b"\r\n{}\r\n0123456789".to_vec()]);
            for (n, header) in (1..).zip(headers) {
                let mut miner = Miner::connect(pool).await;
                miner.send_bytes(&header).await;
                assert!(miner.is_closed().await);
                pool.until("the count", |pool| pool.closed(CloseReason::ProxyHeader) == n).await;
            }
            assert!(pool.ledger.shares().is_empty());
        },
    );
}

#[test]
fn a_header_of_anybody_else_is_garbage() {
    with_pool(
        |setup| setup.settings.proxy_from = vec!["10.0.0.0/8".parse().unwrap()],
        async |pool| {
            for header in [b"PROXY TCP4 10.9.8.7 127.0.0.1 1 2\r\n".to_vec(), v2(1, [10, 9, 8, 7], &[])] {
                let mut miner = Miner::connect(pool).await;
                miner.send_bytes(&header).await;
                assert_eq!(miner.line().await, error(0, "invalid JSON"));
                assert!(miner.is_closed().await);
            }
            pool.until("the count", |pool| pool.closed(CloseReason::ProxyUntrusted) == 2).await;
        },
    );
}
