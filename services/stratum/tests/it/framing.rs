//! Lines, and what is none.
use stratum::CloseReason;
use tokio::io::AsyncWriteExt;

use crate::miner::{error, share_ok};
use crate::pool::with_pool;
use crate::protocol::ready;

#[test]
fn what_is_no_request_is_answered_with_id_0_and_the_connection_goes_on() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            for line in
                ["nonsense", "[1,2]", r#"{"method":"login"}"#, r#"{"id":-1,"method":"x"}"#, r#"{"id":1}"#, "\"x\""]
            {
                miner.send(line).await;
                assert_eq!(miner.line().await, error(0, "invalid JSON"), "{line}");
            }
            for method in ["ping", "mining.subscribe", "getjob"] {
                miner.send(&format!(r#"{{"id":5,"method":"{method}"}}"#)).await;
                assert_eq!(miner.line().await, error(5, "unknown method"));
            }
            miner.send(&job.submit(6, 0)).await;
            assert_eq!(miner.line().await, share_ok(6));
        },
    );
}

#[test]
fn blank_lines_are_answered_by_nothing_and_carriage_returns_are_no_matter() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            miner.send_bytes(b"\n\r\n \t \n").await;
            assert!(miner.is_silent().await);
            let line = job.submit(2, 0).replace(":", ":\r");
            miner.send_bytes(format!("{line}\r\n").as_bytes()).await;
            assert_eq!(miner.line().await, share_ok(2));
        },
    );
}

#[test]
fn a_request_may_be_8192_bytes_long_and_not_one_more() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            let submit = job.submit(2, 0);
            miner.send(&(submit.clone() + &" ".repeat(8192 - submit.len()))).await;
            assert_eq!(miner.line().await, share_ok(2));
            miner.send(&"x".repeat(8193)).await;
            assert_eq!(miner.line().await, error(0, "request exceeds 8192 bytes"));
            assert!(miner.is_closed().await);
            pool.until("the count", |pool| pool.closed(CloseReason::LineTooLong) == 1).await;
        },
    );
}

#[test]
fn bytes_that_are_no_text_end_the_connection() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, _) = ready(pool).await;
            miner.send_bytes(b"{\"id\":1,\"method\":\"\xff\"}\n").await;
            assert_eq!(miner.line().await, error(0, "request is not valid UTF-8"));
            assert!(miner.is_closed().await);
        },
    );
}

#[test]
fn a_line_cut_by_the_end_counts_as_complete_and_is_answered() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            miner.send_bytes(job.submit(2, 0).as_bytes()).await;
            miner.stream.shutdown().await.unwrap();
            assert_eq!(miner.line().await, share_ok(2));
            assert!(miner.is_closed().await);
        },
    );
}

#[test]
fn sixteen_submits_in_one_packet_are_all_answered() {
    with_pool(
        |_| (),
        async |pool| {
            let (mut miner, job) = ready(pool).await;
            let all: String = (2..18).map(|n| job.submit(n, n) + "\n").collect();
            miner.send_bytes(all.as_bytes()).await;
            for n in 2..18 {
                assert_eq!(miner.line().await, share_ok(n));
            }
        },
    );
}
