//! Every message and every text a pool can say, as clients know them.
#![expect(clippy::unwrap_used, reason = "a test")]
use std::time::Duration;

use serde_json::{Value, json};
use units::{Difficulty, Height, Nonce, Timestamp};
use wire::*;

/// The line that a writer appends behind what is there already.
fn line(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = b"before\n".to_vec();
    write(&mut out);
    let text = String::from_utf8(out).unwrap();
    let line = text.strip_prefix("before\n").unwrap().strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "one line: {line}");
    line.to_owned()
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[test]
fn what_is_no_request_and_what_is_no_method_have_their_texts() {
    assert_eq!(line(|out| write_error(out, 0, BadLine)), r#"{"id":0,"error":"invalid JSON"}"#);
    assert_eq!(line(|out| write_error(out, 9, UNKNOWN_METHOD)), r#"{"id":9,"error":"unknown method"}"#);
    let overlong = line(|out| write_error(out, 0, LineError::Overlong));
    assert_eq!(overlong, r#"{"id":0,"error":"request exceeds 8192 bytes"}"#);
    let not_utf8 = line(|out| write_error(out, 0, LineError::NotUtf8));
    assert_eq!(not_utf8, r#"{"id":0,"error":"request is not valid UTF-8"}"#);
}

fn quarantines() -> [(Quarantine, &'static str); 4] {
    let sentence = |strikes| Sentence {
        strikes,
        until: Timestamp::from_ms(1_795_417_478_123),
        remaining: Duration::from_millis(3_543_999),
    };
    [
        (Quarantine::default(), "address quarantined"),
        (
            Quarantine { reason: Some("invalid share proof".into()), sentence: None },
            "address quarantined: invalid share proof",
        ),
        (
            Quarantine { reason: None, sentence: Some(sentence(Strikes::Risk(2))) },
            "address quarantined (risk strikes=2, until 2026-11-23T07:04:38.123Z, remaining 59m 3s)",
        ),
        (
            Quarantine { reason: Some("fraud".into()), sentence: Some(sentence(Strikes::Fraud(3))) },
            "address quarantined: fraud (fraud strikes=3, until 2026-11-23T07:04:38.123Z, remaining 59m 3s)",
        ),
    ]
}

#[test]
fn every_reject_has_its_text_and_its_code() {
    let (ms, s) = (Duration::from_millis, Duration::from_secs);
    let stale = |current| Reject::TemplateStale {
        template: 0x7f20_c9d1_e6a4_b853,
        current,
        stale_for: ms(6_012),
        stale_grace: s(5),
    };
    let mut table = vec![
        (Reject::InvalidParams, "invalid submit params", "other"),
        (Reject::RateLimited, "rate limited, retry", "rate limited"),
        (Reject::NotLoggedIn, "not logged in", "not logged in"),
        (Reject::AssignmentNotFound, "stale job: assignment not found", "stale job"),
        (
            Reject::AssignmentExpired { age: ms(601_250), ttl: s(600) },
            "stale job: assignment expired (age=601.250s, ttl=600.000s)",
            "stale job",
        ),
        (
            Reject::AssignmentSuperseded { stale_for: ms(999), stale_grace: ms(0) },
            "stale job: assignment superseded by newer difficulty (stale_for=999ms, stale_grace=0ms)",
            "stale job",
        ),
        (
            stale(Some(0xb61e_08d7_f392_5ac4)),
            "stale job: template 7f20c9d1e6a4b853 exceeded stale grace (current=b61e08d7f3925ac4, stale_for=6.012s, stale_grace=5.000s)",
            "stale job",
        ),
        (
            stale(None),
            "stale job: template 7f20c9d1e6a4b853 exceeded stale grace (current=-, stale_for=6.012s, stale_grace=5.000s)",
            "stale job",
        ),
        (
            Reject::TemplateGone { template: 0xf },
            "stale job: template 000000000000000f for assignment is no longer available",
            "stale job",
        ),
        (Reject::NotAssigned, "job not assigned to this miner", "job not assigned"),
        (Reject::NonceOutOfRange, "nonce out of assigned range", "nonce out of assigned range"),
        (Reject::Duplicate, "duplicate share", "duplicate share"),
        (Reject::ClaimedHashOdd, "hex length must be even", "invalid claimed hash"),
        (Reject::ClaimedHashNotHex, "invalid hex", "invalid claimed hash"),
        (Reject::ClaimedHashLength(31), "expected 32-byte hash, got 31 bytes", "invalid claimed hash"),
        (Reject::ClaimedHashRequired, "claimed hash required", "claimed hash required"),
        (Reject::LowDifficulty, "low difficulty share", "low difficulty share"),
        (Reject::InvalidProof, "invalid share proof", "invalid share proof"),
        (Reject::HashFailed, "hash computation failed", "hash computation failed"),
        (Reject::InvalidShare, "invalid share", "other"),
        (Reject::ServerBusy, "server busy, retry", "other"),
        (Reject::ValidationTimeout, "validation timeout", "other"),
    ];
    table.extend(quarantines().map(|(why, text)| (Reject::Quarantined(why.into()), text, "address quarantined")));
    for (reject, text, code) in table {
        assert_eq!(reject.to_string(), text);
        assert_eq!(reject.code().as_str(), code, "{text}");
        assert_eq!(RejectCode::of_text(text), reject.code(), "{text}");
        assert_eq!(line(|out| write_error(out, 2, &reject)), format!(r#"{{"id":2,"error":"{text}"}}"#));
    }
}

#[test]
fn texts_that_are_not_ours_count_as_other_and_stay_valid_json() {
    let daemon = "/api/mining/submitblock 400: {\"error\":\"block rejected as stale\"}\n";
    let said = line(|out| write_error(out, 3, daemon));
    assert_eq!(said, r#"{"id":3,"error":"/api/mining/submitblock 400: {\"error\":\"block rejected as stale\"}\n"}"#);
    for text in [daemon, "submit worker failure: x", "failed to stage block submission recovery record at /x"] {
        assert_eq!(RejectCode::of_text(text), RejectCode::Other, "{text}");
        assert_eq!(parsed(&line(|out| write_error(out, 3, text)))["error"], text);
    }
}

#[test]
fn every_login_refusal_has_its_text_and_closes_unless_it_was_unreadable() {
    let mut table = vec![
        (LoginRefusal::InvalidParams, "invalid login params", false),
        (LoginRefusal::InvalidAddress, "invalid address", true),
        (
            LoginRefusal::MalformedAddress("invalid base58 address".into()),
            "invalid address: invalid base58 address",
            true,
        ),
        (LoginRefusal::VersionRequired, "pool requires protocol_version >= 2", true),
        (LoginRefusal::ClaimedHashRequired, "pool requires submit_claimed_hash capability", true),
        (LoginRefusal::TooManyLogins, "too many logins, wait a moment", true),
        (LoginRefusal::TooManyNames, "too many different addresses or workers from your address", true),
        (LoginRefusal::ServerBusy, "server busy, retry", true),
    ];
    table.extend(quarantines().map(|(why, text)| (LoginRefusal::Quarantined(why.into()), text, true)));
    for (refusal, text, closes) in table {
        assert_eq!((refusal.to_string().as_str(), refusal.closes()), (text, closes));
    }
}

#[test]
fn replies_have_the_documented_members() {
    assert_eq!(
        line(|out| write_login_ok(out, 1, 2, true)),
        r#"{"id":1,"status":"ok","result":{"protocol_version":2,"capabilities":["login_negotiation","share_validation_status","submit_claimed_hash","difficulty_hint"],"required_capabilities":["submit_claimed_hash"]}}"#
    );
    assert_eq!(
        line(|out| write_login_ok(out, 1, 1, false)),
        r#"{"id":1,"status":"ok","result":{"protocol_version":1,"capabilities":["login_negotiation","share_validation_status"]}}"#
    );
    let five = Difficulty::new(5).unwrap();
    assert_eq!(
        line(|out| write_submit_ok(out, 2, false, five)),
        r#"{"id":2,"status":"ok","result":{"accepted":true,"verified":false,"status":"provisional","difficulty":5}}"#
    );
    assert_eq!(
        line(|out| write_submit_ok(out, u64::MAX, true, Difficulty::MAX)),
        r#"{"id":18446744073709551615,"status":"ok","result":{"accepted":true,"verified":true,"status":"verified","difficulty":9223372036854775807}}"#
    );
    assert_eq!(
        line(|out| write_notification(out, Notice::MinerBlockFound, "you found \"it\"")),
        r#"{"method":"notification","params":{"kind":"miner_block_found","message":"you found \"it\""}}"#
    );
    assert_eq!(Notice::PoolBlockSolved.kind(), "pool_block_solved");
}

fn job(template_id: Option<&str>) -> String {
    let template = JobTemplate::new(&[0xab; 92], &[0x0f; 32], Height::new(41_237), template_id);
    let target_hex = hash_hex(&[0x33; 32]);
    let assignment = Assignment {
        job_id: 0x9c41_e07a_b25d_8f13,
        difficulty: Difficulty::new(5).unwrap(),
        target_hex: &target_hex,
        nonce_first: Nonce::new(4_611_686_018_427_000_000),
        nonce_last: Nonce::new(4_611_686_018_427_999_999),
    };
    line(|out| template.write_job(out, &assignment))
}

#[test]
fn a_job_has_the_documented_members_and_fits_one_packet() {
    let said = job(Some("5be1a90c77d2e604"));
    assert_eq!(
        parsed(&said),
        json!({"method": "job", "params": {
            "job_id": "9c41e07ab25d8f13", "template_id": "5be1a90c77d2e604", "header_base": "ab".repeat(92),
            "target": "33".repeat(32), "difficulty": 5, "network_target": "0f".repeat(32), "height": 41_237,
            "nonce_start": 4_611_686_018_427_000_000_u64, "nonce_end": 4_611_686_018_427_999_999_u64,
        }})
    );
    assert!(said.len() < 1000, "{} bytes", said.len());
    assert!(parsed(&job(None))["params"].get("template_id").is_none());
    assert_eq!(parsed(&job(Some("\"\\")))["params"]["template_id"], "\"\\", "a foreign text is escaped");
}

#[test]
fn a_miner_reads_what_the_pool_writes() {
    let said = job(Some("t"));
    let Ok(FromPool::Job(job)) = FromPool::parse(&said) else { panic!("{said}") };
    assert_eq!((job.job_id.as_ref(), job.difficulty, job.height), ("9c41e07ab25d8f13", Some(5), 41_237));

    let said = line(|out| write_login_ok(out, 1, 2, true));
    let Ok(FromPool::Answer(answer)) = FromPool::parse(&said) else { panic!("{said}") };
    let result = answer.login().unwrap();
    assert_eq!((result.protocol_version, result.capabilities.len()), (2, 4));
    assert_eq!(result.required_capabilities, ["submit_claimed_hash"]);

    let said = line(|out| write_submit_ok(out, 2, true, Difficulty::ONE));
    let Ok(FromPool::Answer(answer)) = FromPool::parse(&said) else { panic!("{said}") };
    let result = answer.submit().unwrap();
    assert_eq!((answer.id, result.accepted, result.verified, result.difficulty), (2, true, true, 1));

    let said = line(|out| write_error(out, 2, Reject::Duplicate));
    let Ok(FromPool::Answer(answer)) = FromPool::parse(&said) else { panic!("{said}") };
    assert_eq!(answer.error.as_deref(), Some("duplicate share"));
    assert!(!answer.is_ok() && answer.login().is_none() && answer.submit().is_none());

    let said = line(|out| write_notification(out, Notice::PoolBlockSolved, "hurrah"));
    assert!(matches!(FromPool::parse(&said), Ok(FromPool::Notification { kind, .. }) if kind == "pool_block_solved"));

    for bad in ["", "[]", "{}", "{\"id\":\"1\",\"status\":\"ok\"}", "{\"id\":1,\"error\":{}}", "{\"method\":\"job\"}"] {
        assert!(FromPool::parse(bad).is_err(), "{bad}");
    }
}
