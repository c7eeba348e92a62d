//! What a real miner and a real pool said to each other, and what nobody would ever say.
#![expect(clippy::unwrap_used, reason = "a test")]
use proptest::prelude::*;
use serde_json::Value;
use wire::{FromPool, Lines, Reject, Request};

/// The recorded lines of one side.
fn said_by(side: &str) -> Vec<String> {
    let recorded =
        include_str!("stratum-session.jsonl").lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    recorded.filter(|line| line["from"] == side).filter_map(|line| Some(line["line"].as_str()?.to_owned())).collect()
}

#[test]
fn every_line_of_the_real_miner_is_read() {
    let (mut logins, mut submits) = (0, 0);
    for line in said_by("miner") {
        if line.trim().is_empty() {
            continue; // The keepalive.
        }
        match Request::parse(&line) {
            Ok(Request::Login { params: Ok(login), .. }) => {
                assert_eq!((login.protocol_version, login.worker.as_str()), (2, "rig1"));
                logins += 1;
            }
            Ok(Request::Submit { params: Ok(submit), .. }) => {
                assert!(submit.job().is_some(), "{line}");
                assert!(matches!(submit.claim(), Ok(Some(_))), "{line}");
                submits += 1;
            }
            other => panic!("{line}: {other:?}"),
        }
    }
    assert_eq!((logins, submits), (3, 25));
}

#[test]
fn every_line_of_the_existing_pool_is_read() {
    let (mut accepted, mut refused, mut jobs, mut notices) = (0, 0, 0, 0);
    for line in said_by("pool") {
        match FromPool::parse(&line) {
            Ok(FromPool::Answer(answer)) if answer.is_ok() => accepted += 1,
            Ok(FromPool::Answer(_)) => refused += 1,
            Ok(FromPool::Job(job)) => {
                assert_eq!((job.header_base.len(), job.target.len()), (184, 64), "{line}");
                jobs += 1;
            }
            Ok(FromPool::Notification { message, .. }) => {
                assert!(!message.is_empty());
                notices += 1;
            }
            Err(error) => panic!("{line}: {error}"),
        }
    }
    assert_eq!((accepted, refused, jobs, notices), (14, 14, 21, 18));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for event in Lines::new(&bytes) {
            if let wire::LineEvent::Line(line) = event {
                let _request = Request::parse(&line);
                let _answer = FromPool::parse(&line);
            }
        }
    }

    #[test]
    fn no_nearly_right_line_makes_it_panic(
        method in "(login|submit|[a-z]{0,6})", key in "(job_id|nonce|address|worker|claimed_hash|capabilities)",
        value in "(null|-?[0-9]{1,22}|[0-9]\\.[0-9]e[0-9]{1,3}|\"[ -~]{0,70}\"|\\[[0-9,]{0,9}\\]|\\{\\})", cut in any::<usize>(),
    ) {
        let line = format!("{{\"id\":1,\"method\":\"{method}\",\"params\":{{\"{key}\":{value}}}}}");
        let whole = Request::parse(&line);
        if let Ok(Request::Submit { params, .. }) = &whole {
            prop_assert_eq!(params, &Err(Reject::InvalidParams), "half of the members are missing");
        }
        let _cut = Request::parse(&line[..cut % line.len()]);
    }
}
