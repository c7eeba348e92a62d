//! Tokens, limits and broken connections.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use daemon::fake::{Fake, ScriptedAnswer};
use daemon::{Capabilities, Daemon, DaemonError, Event, WalletState};
use futures_util::StreamExt;
use secrecy::SecretString;
use settings::DaemonEndpoint;
use units::Nonce;

const ADDRESS: &str = r#"{"address":"A","view_only":false}"#;

fn with_token(url: &str) -> Daemon {
    let token = SecretString::from("secret-token");
    Daemon::new(&DaemonEndpoint { url: url.to_owned(), token, ..DaemonEndpoint::default() })
}

fn only_token(valid: &'static str) -> Fake {
    Fake::start(move |seen| match seen.token.as_deref() == Some(valid) {
        true => ScriptedAnswer::json(200, ADDRESS),
        false => ScriptedAnswer::plain(401, "unauthorized\n"),
    })
}

#[actix_rt::test]
async fn a_changed_cookie_is_read_again_once_and_the_request_repeated_once() {
    let fake = only_token("new");
    let dir = tempfile::tempdir().unwrap();
    let cookie = dir.path().join("api.cookie");
    std::fs::write(&cookie, "new").unwrap();
    let data_dir = Some(dir.path().to_owned());
    let daemon = Daemon::new(&DaemonEndpoint { url: fake.url.clone(), data_dir, ..DaemonEndpoint::default() });
    assert_eq!(daemon.wallet_address().await.unwrap().address, "A");
    std::fs::write(&cookie, "old").unwrap();
    assert_eq!(daemon.wallet_address().await.unwrap().address, "A", "a token that works is not read again");
    assert_eq!(fake.seen().len(), 2);

    let stale = only_token("new");
    let data_dir = Some(dir.path().to_owned());
    let daemon = Daemon::new(&DaemonEndpoint { url: stale.url.clone(), data_dir, ..DaemonEndpoint::default() });
    let error = daemon.wallet_address().await.unwrap_err();
    assert!(matches!(&error, DaemonError::Unauthorized { .. }), "{error}");
    assert!(error.to_string().contains(cookie.to_str().unwrap()), "{error}");
    assert_eq!(stale.seen().len(), 2, "asked once more, and not for ever");
    std::fs::write(&cookie, "new").unwrap();
    assert!(daemon.wallet_address().await.is_ok(), "the next request reads it again");
    assert_eq!(stale.seen().len(), 4);
}

#[actix_rt::test]
async fn a_wrong_password_is_no_reason_to_read_the_cookie_again() {
    let fake = Fake::start(|_| ScriptedAnswer::error(401, "wrong password"));
    let daemon = fake.client();
    let error = daemon.wallet_load(&SecretString::from("hunter2")).await.unwrap_err();
    assert_eq!(error.wallet_state(), Some(WalletState::WrongPassword));
    assert_eq!(fake.seen().len(), 1);
    assert!(!format!("{error} {error:?} {daemon:?}").contains("hunter2"));
}

#[actix_rt::test]
async fn a_missing_cookie_means_that_the_daemon_is_down_and_names_the_file() {
    let fake = only_token("t");
    let cookie_path = Some("/nowhere/api.cookie".into());
    let daemon = Daemon::new(&DaemonEndpoint { url: fake.url.clone(), cookie_path, ..DaemonEndpoint::default() });
    let error = daemon.wallet_address().await.unwrap_err();
    assert!(matches!(&error, DaemonError::NotSent { .. }) && error.is_unreachable());
    assert!(error.to_string().contains("/nowhere/api.cookie"), "{error}");
    assert!(fake.seen().is_empty());
}

#[actix_rt::test]
async fn no_text_holds_a_token_or_credentials_of_the_url() {
    let daemon = with_token("http://user:pass@127.0.0.1:1");
    let error = daemon.wallet_address().await.unwrap_err();
    let text = format!("{error} {error:?} {daemon:?}");
    assert!(text.contains("127.0.0.1:1"), "{text}");
    assert!(!text.contains("secret-token") && !text.contains("pass@"), "{text}");
    assert!(matches!(error, DaemonError::NotSent { .. }), "a refused connection sends nothing");
}

#[actix_rt::test]
async fn a_connection_that_closes_after_the_request_leaves_the_outcome_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 4096];
            assert!(stream.read(&mut buffer).unwrap() > 0); // Takes the request and hangs up.
        }
    });
    let error = with_token(&url).send(Bytes::from_static(b"{}"), "k").await.unwrap_err();
    assert!(matches!(error, DaemonError::Unknown { .. }), "{error:?}");
    let error = with_token(&url).submit_compact("00", Nonce::new(1)).await.unwrap_err();
    assert!(!error.is_definitely_not_done(), "{error:?}");
}

#[actix_rt::test]
async fn a_redirect_is_not_followed_and_a_half_answer_is_no_answer() {
    let fake = Fake::start(|_| ScriptedAnswer::plain(302, ""));
    assert!(matches!(fake.client().status().await, Err(DaemonError::Refused { status: 302, .. })));
    let fake = Fake::start(|_| ScriptedAnswer::json(200, r#"{"accepted":true"#));
    let error = fake.client().submit_compact("00", Nonce::new(1)).await.unwrap_err();
    assert!(matches!(error, DaemonError::Unknown { .. }), "{error:?}");
}

#[actix_rt::test]
async fn bytes_and_key_of_a_send_go_out_as_they_are() {
    let fake = Fake::start(|_| ScriptedAnswer::error(429, "send busy, retry later"));
    let body = Bytes::from_static(b"{ \"recipients\" : [ ] }");
    let error = fake.client().send(body.clone(), "abc-1").await.unwrap_err();
    assert!(matches!(error, DaemonError::Busy { .. }));
    let seen = &fake.seen()[0];
    assert_eq!((seen.body.as_bytes(), seen.key.as_deref()), (&body[..], Some("abc-1")));
    assert_eq!(seen.token.as_deref(), Some("secret-token"));
}

#[actix_rt::test]
async fn the_probe_tells_an_old_daemon_from_a_new_one() {
    const STATUS: &str = r#"{"peers":1,"chain_height":5,"best_hash":"00","total_work":1,"syncing":false"#;
    let new = Fake::start(|seen| match seen.path.as_str() {
        "/api/status" => ScriptedAnswer::json(200, format!("{STATUS},\"mempool_generation\":3}}")),
        "/api/wallet/sends?limit=0" => ScriptedAnswer::error(503, "no wallet loaded"),
        "/api/wallet/send/status" => ScriptedAnswer::error(400, "idempotency_key is required"),
        _ => ScriptedAnswer::error(400, "template_id is required"),
    });
    let all = Capabilities { renew: true, mempool_generation: true, send_status: true, sends: true, advanced: true };
    assert_eq!(new.client().probe().await.unwrap(), all);
    assert!(new.seen().iter().all(|seen| seen.key.is_none()));
    let old = Fake::start(|seen| match seen.path.as_str() {
        "/api/status" => ScriptedAnswer::json(200, format!("{STATUS}}}")),
        "/api/mining/renewtemplate" => ScriptedAnswer::plain(405, "Method Not Allowed\n"),
        _ => ScriptedAnswer::plain(404, "404 page not found\n"),
    });
    assert_eq!(old.client().probe().await.unwrap(), Capabilities::default());
    let down = Fake::start(|_| ScriptedAnswer::plain(502, ""));
    assert!(down.client().probe().await.is_err(), "silence is not an old daemon");
}

#[actix_rt::test]
async fn the_event_stream_comes_back_after_it_breaks() {
    static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            CONNECTIONS.fetch_add(1, Ordering::SeqCst);
            let mut stream = stream.unwrap();
            let mut buffer = [0; 4096];
            assert!(stream.read(&mut buffer).unwrap() > 0);
            let head = include_str!("data/daemon-events.txt").split_inclusive("\r\n\r\n").next().unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            let body = b"event: connected\ndata: {\"chain_height\":7,\"syncing\":false}\n\n";
            stream.write_all(format!("{:x}\r\n", body.len()).as_bytes()).unwrap();
            stream.write_all(body).unwrap();
            stream.write_all(b"\r\n").unwrap(); // No last chunk: the connection breaks.
        }
    });
    let mut events = Box::pin(with_token(&url).events());
    for _ in 0..2 {
        assert_eq!(events.next().await, Some(Event::Connected { height: units::Height::new(7) }));
        assert!(matches!(events.next().await, Some(Event::Lost(DaemonError::Unknown { .. }))));
    }
    assert_eq!(CONNECTIONS.load(Ordering::SeqCst), 2);
}

#[actix_rt::test]
async fn a_token_left_behind_by_a_killed_daemon_does_not_hide_the_good_one() {
    let fake = only_token("good");
    let dir = tempfile::tempdir().unwrap();
    let left_behind = dir.path().join("left-behind.cookie");
    std::fs::write(&left_behind, "stale").unwrap();
    std::fs::write(dir.path().join("api.cookie"), "good").unwrap();
    let (cookie_path, data_dir) = (Some(left_behind), Some(dir.path().to_owned()));
    let daemon = Daemon::new(&DaemonEndpoint { url: fake.url.clone(), cookie_path, data_dir, ..Default::default() });
    assert_eq!(daemon.wallet_address().await.unwrap().address, "A");
    assert_eq!(daemon.wallet_address().await.unwrap().address, "A");
    assert_eq!(fake.seen().len(), 3, "one refusal in all");
}

/// Accepts one connection, reads the request, writes `answer`, and stays silent.
fn silent_after(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 4096];
            assert!(stream.read(&mut buffer).unwrap() > 0);
            stream.write_all(&answer).unwrap();
            open.push(stream);
        }
    });
    url
}

#[actix_rt::test]
async fn a_stream_that_is_silent_for_75_seconds_is_dead() {
    let body = b"event: connected\ndata: {\"chain_height\":7,\"syncing\":false}\n\n";
    let head = include_str!("data/daemon-events.txt").split_inclusive("\r\n\r\n").next().unwrap();
    let mut answer = head.as_bytes().to_vec();
    answer.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
    answer.extend_from_slice(body);
    answer.extend_from_slice(b"\r\n");
    let mut events = Box::pin(with_token(&silent_after(answer)).events());
    assert_eq!(events.next().await, Some(Event::Connected { height: units::Height::new(7) }));
    // From here nothing comes, so the clock may jump to whatever is waited for.
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    let lost = events.next().await;
    assert!(matches!(&lost, Some(Event::Lost(DaemonError::Unknown { why, .. })) if why.contains("75s")), "{lost:?}");
    assert_eq!(before.elapsed().as_secs(), 75);
}

#[actix_rt::test]
async fn an_answer_without_end_or_without_bound_is_given_up() {
    let endless = Fake::start(|_| ScriptedAnswer::json(200, "x".repeat(9 << 20)));
    let error = endless.client().template(None).await.unwrap_err();
    assert!(matches!(&error, DaemonError::Unknown { why, .. } if why.contains("longer than")), "{error}");
    let half = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{".to_vec();
    let daemon = with_token(&silent_after(half));
    let status = daemon.status();
    let mut status = std::pin::pin!(status);
    // Until the head has arrived the clock must run, or it would jump over the connect.
    assert!(tokio::time::timeout(std::time::Duration::from_millis(200), &mut status).await.is_err());
    tokio::time::pause();
    let error = status.await.unwrap_err();
    assert!(matches!(&error, DaemonError::Unknown { why, .. } if why.contains("no answer within 5s")), "{error}");
}

#[actix_rt::test]
async fn a_compressed_answer_of_something_in_between_is_read() {
    let body: &[u8] = &[
        31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 74, 76, 73, 41, 74, 45, 46, 86, 178, 82, 114, 84, 210, 81, 42, 203,
        76, 45, 143, 207, 207, 203, 169, 84, 178, 74, 75, 204, 41, 78, 173, 5, 0, 87, 25, 35, 95, 33, 0, 0, 0,
    ];
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let url = silent_after([head.as_bytes(), body].concat());
    assert_eq!(with_token(&url).wallet_address().await.unwrap().address, "A");
}
