//! Every request a miner can make, well or badly.
#![expect(clippy::unwrap_used, reason = "a test")]
use std::borrow::Cow;

use serde_json::{Value, json};
use units::Nonce;
use wire::*;

const ADDRESS: &str = "W3QZrW5EncuqPh7Y5NFCGW5b8QaDAWVwcKMuUiBfzoSTfG1nEdu98X1vdjUUzJjphDEJUXrLh5uWfiwxEx3P7Ya5kMqEb";
const HASH: &str = "2d1a5c84d4614bd1826cd2a88970fc015ad3421fdf9cc41ddaf87d9142946904";

fn login(params: &Value) -> Result<Login, LoginRefusal> {
    let line = json!({"id": 1, "method": "login", "params": params}).to_string();
    match Request::parse(&line).unwrap() {
        Request::Login { id: 1, params } => params,
        other => panic!("not a login: {other:?}"),
    }
}

fn submit(params: &Value) -> Result<(String, u64, Option<String>), Reject> {
    let line = json!({"id": 2, "method": "submit", "params": params}).to_string();
    match Request::parse(&line).unwrap() {
        Request::Submit { id: 2, params } => params
            .map(|submit| (submit.job_id.into_owned(), submit.nonce.get(), submit.claimed_hash.map(Cow::into_owned))),
        other => panic!("not a submit: {other:?}"),
    }
}

#[test]
fn a_request_needs_an_unsigned_id_and_a_string_method() {
    for bad in [
        "",
        "x",
        "null",
        "[]",
        "1",
        "\"login\"",
        "{}",
        "{\"id\":1}",
        "{\"method\":\"login\"}",
        "{\"id\":-1,\"method\":\"login\"}",
        "{\"id\":1.0,\"method\":\"login\"}",
        "{\"id\":\"1\",\"method\":\"login\"}",
        "{\"id\":null,\"method\":\"login\"}",
        "{\"id\":1,\"method\":null}",
        "{\"id\":1,\"method\":7}",
        "{\"id\":18446744073709551616,\"method\":\"login\"}",
        "[1,\"login\",null]",
        "{\"id\":1,\"method\":\"login\"} x",
        "{\"id\":1,\"method\":\"login\"",
    ] {
        assert_eq!(Request::parse(bad), Err(BadLine), "{bad}");
    }
}

#[test]
fn other_methods_keep_their_id() {
    for method in ["subscribe", "ping", "getjob", "Login", "", "logi\\u006e2"] {
        let line = format!("{{\"id\":18446744073709551615,\"method\":\"{method}\",\"extra\":[1]}}");
        assert_eq!(Request::parse(&line), Ok(Request::Unknown { id: u64::MAX }), "{method}");
    }
}

#[test]
fn a_login_is_normalised() {
    let full = login(&json!({
        "address": format!("  {ADDRESS}\n"), "worker": " rig-07 ", "protocol_version": 9,
        "capabilities": [" LOGIN_negotiation ", "submit_claimed_hash", "submit_claimed_hash", "", "teleport"],
        "difficulty_hint": 240, "agent": {"name": "x"},
    }))
    .unwrap();
    assert_eq!((full.address.as_str(), full.worker.as_str()), (ADDRESS, "rig-07"));
    assert_eq!((full.protocol_version, full.difficulty_hint), (2, Some(240)));
    let declared = Capability::ALL.map(|capability| full.capabilities.has(capability));
    assert_eq!(declared, [true, false, true, false]);

    let bare = login(&json!({"address": ADDRESS, "worker": ""})).unwrap();
    assert_eq!((bare.worker.as_str(), bare.protocol_version, bare.difficulty_hint), ("default", 1, None));
    assert_eq!(bare.capabilities, Capabilities::default());
    assert_eq!(login(&json!({"address": ADDRESS, "worker": "", "difficulty_hint": null})).unwrap(), bare);
}

#[test]
fn a_worker_name_is_cut_and_cleaned() {
    let worker = |name: &str| login(&json!({"address": ADDRESS, "worker": name})).unwrap().worker;
    assert_eq!(worker(" \t "), "default");
    assert_eq!(worker("\u{0}"), "default", "what PostgreSQL cannot store is left out");
    assert_eq!(worker("rig\u{0}\n7"), "rig7");
    assert_eq!(worker(&"ä".repeat(70)), "ä".repeat(64));
    assert_eq!(worker(&format!("{} {}", "a".repeat(63), "b")), "a".repeat(63));
}

#[test]
fn a_bad_login_is_told_apart_from_a_bad_address() {
    for params in [
        json!(null),
        json!([ADDRESS, "w"]),
        json!({}),
        json!({"address": ADDRESS}),
        json!({"worker": "w"}),
        json!({"address": 1, "worker": "w"}),
        json!({"address": ADDRESS, "worker": null}),
        json!({"address": ADDRESS, "worker": "w", "protocol_version": -1}),
        json!({"address": ADDRESS, "worker": "w", "protocol_version": 4_294_967_296_u64}),
        json!({"address": ADDRESS, "worker": "w", "capabilities": "all"}),
        json!({"address": ADDRESS, "worker": "w", "capabilities": [1]}),
        json!({"address": ADDRESS, "worker": "w", "difficulty_hint": 1.5}),
    ] {
        assert_eq!(login(&params), Err(LoginRefusal::InvalidParams), "{params}");
    }
    let no_params = Request::parse("{\"id\":1,\"method\":\"login\"}").unwrap();
    assert_eq!(no_params, Request::Login { id: 1, params: Err(LoginRefusal::InvalidParams) });
    for address in ["", "  ", &"x".repeat(129)] {
        let params = json!({"address": address, "worker": "w"});
        assert_eq!(login(&params), Err(LoginRefusal::InvalidAddress), "{address}");
    }
    assert!(login(&json!({"address": "x".repeat(128), "worker": "w"})).is_ok());
}

#[test]
fn a_submit_is_read_as_it_was_sent() {
    let job_id = "9c41e07ab25d8f13";
    let nonce = 4_611_686_018_427_000_001_u64;
    let read = |claimed: Value| submit(&json!({"job_id": job_id, "nonce": nonce, "claimed_hash": claimed}));
    assert_eq!(read(json!(HASH)), Ok((job_id.into(), nonce, Some(HASH.into()))));
    assert_eq!(read(json!(null)), Ok((job_id.into(), nonce, None)));
    assert_eq!(read(json!(" \t")), Ok((job_id.into(), nonce, None)), "blank is absent");
    assert_eq!(submit(&json!({"job_id": job_id, "nonce": u64::MAX})), Ok((job_id.into(), u64::MAX, None)));

    for params in [
        json!(null),
        json!([job_id, 1]),
        json!({"nonce": 1}),
        json!({"job_id": job_id}),
        json!({"job_id": 1, "nonce": 1}),
        json!({"job_id": job_id, "nonce": "1"}),
        json!({"job_id": job_id, "nonce": -1}),
        json!({"job_id": job_id, "nonce": 1.0}),
        json!({"job_id": job_id, "nonce": 1, "claimed_hash": 7}),
    ] {
        assert_eq!(submit(&params), Err(Reject::InvalidParams), "{params}");
    }
}

#[test]
fn escapes_and_extra_members_do_not_break_a_submit() {
    let line = r#"{"x":{"y":[1,{"z":"}"}]},"params":{"nonce":7,"job_id":"\u0039c41e07ab25d8f1\u0033","a":null},"method":"submi\u0074","id":3}"#;
    let Ok(Request::Submit { id: 3, params: Ok(submit) }) = Request::parse(line) else { panic!("not read: {line}") };
    assert_eq!(submit.job_id, "9c41e07ab25d8f13");
    assert_eq!((submit.job(), submit.nonce), (Some(0x9c41_e07a_b25d_8f13), Nonce::new(7)));
}

#[test]
fn a_plain_submit_is_not_copied() {
    let line =
        format!(r#"{{"id":3,"method":"submit","params":{{"job_id":"00ff","nonce":1,"claimed_hash":"{HASH}"}}}}"#);
    let Ok(Request::Submit { params: Ok(submit), .. }) = Request::parse(&line) else { panic!("not read: {line}") };
    assert!(matches!(submit.job_id, Cow::Borrowed("00ff")));
    assert!(matches!(submit.claimed_hash, Some(Cow::Borrowed(HASH))));
}

#[test]
fn only_our_own_form_of_a_job_id_is_one() {
    assert_eq!(parse_job_id("9c41e07ab25d8f13"), Some(0x9c41_e07a_b25d_8f13));
    for text in ["", "9C41E07AB25D8F13", "9c41e07ab25d8f1", "9c41e07ab25d8f130", "+c41e07ab25d8f13", "ä41e07ab25d8f13"]
    {
        assert_eq!(parse_job_id(text), None, "{text}");
    }
    for id in [0, 1, u64::MAX, 0x9c41_e07a_b25d_8f13] {
        assert_eq!(parse_job_id(std::str::from_utf8(&format_job_id(id)).unwrap()), Some(id));
    }
}

#[test]
fn a_claimed_hash_is_hex_of_32_bytes_in_any_case() {
    let bytes = parse_claimed_hash(HASH).unwrap();
    assert_eq!(std::str::from_utf8(&hash_hex(&bytes)).unwrap(), HASH);
    assert_eq!(parse_claimed_hash(&format!("  {}\t", HASH.to_uppercase())), Ok(bytes));
    let zeros = "0".repeat(64);
    let cases = [
        ("abc", Reject::ClaimedHashOdd),
        ("zz", Reject::ClaimedHashNotHex),
        ("zzz", Reject::ClaimedHashOdd),
        ("abcd", Reject::ClaimedHashLength(2)),
        (&format!("0x{zeros}"), Reject::ClaimedHashNotHex),
        (&format!("{zeros}00"), Reject::ClaimedHashLength(33)),
        (&format!("{}g", &zeros[1..]), Reject::ClaimedHashNotHex),
        (&format!("{}ä", &zeros[2..]), Reject::ClaimedHashNotHex),
    ];
    for (text, reject) in cases {
        assert_eq!(parse_claimed_hash(text), Err(reject), "{text}");
    }
}

#[test]
fn the_pool_reads_what_a_miner_writes() {
    let said = written(|out| write_login(out, 1, ADDRESS, "rig-07", Some(240)));
    let Ok(Request::Login { id: 1, params: Ok(login) }) = Request::parse(&said) else { panic!("{said}") };
    assert_eq!((login.address.as_str(), login.worker.as_str()), (ADDRESS, "rig-07"));
    assert_eq!((login.protocol_version, login.difficulty_hint), (2, Some(240)));
    assert!(Capability::ALL.iter().all(|capability| login.capabilities.has(*capability)));

    let hash = parse_claimed_hash(HASH).unwrap();
    let said = written(|out| write_submit(out, 2, "9c41e07ab25d8f13", 7, Some(&hash)));
    let Ok(Request::Submit { id: 2, params: Ok(submit) }) = Request::parse(&said) else { panic!("{said}") };
    assert_eq!((submit.job(), submit.nonce.get()), (Some(0x9c41_e07a_b25d_8f13), 7));
    assert_eq!(submit.claim(), Ok(Some(hash)));
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}
