//! Every recorded answer of a real daemon whose route this client calls is read and sorted.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use daemon::fake::{Fake, ScriptedAnswer};
use daemon::{Balance, Conflict, Daemon, DaemonError, OutputState, SendStatus, WalletState};
use secrecy::SecretString;
use serde_json::Value;
use units::{Height, Nonce};

struct Exchange {
    name: String,
    route: String,
    answer: ScriptedAnswer,
    json: Value,
    path: String,
}

fn recorded() -> Vec<Exchange> {
    include_str!("data/daemon-http.jsonl")
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let path = text(&line["request"]["path"]);
            let plain = line.get("text").is_some();
            let mut answer =
                ScriptedAnswer::json(u16::try_from(line["status"].as_u64().unwrap()).unwrap(), &line["json"]);
            if plain {
                answer = ScriptedAnswer::plain(answer.status, line["text"].as_str().unwrap());
            }
            answer.retry_after = line["headers"]["Retry-After"].as_str().map(|text| text.parse().unwrap());
            Exchange {
                name: text(&line["name"]),
                route: format!("{} {}", text(&line["request"]["method"]), path.split('?').next().unwrap()),
                answer,
                json: line["json"].clone(),
                path,
            }
        })
        .collect()
}

/// Asks the daemon what the recorded request asked; `None` for routes that the client never calls. The value is
/// what was understood, as text.
async fn ask(daemon: &Daemon, exchange: &Exchange) -> Option<Result<String, DaemonError>> {
    fn text<T: std::fmt::Debug>(result: Result<T, DaemonError>) -> Option<Result<String, DaemonError>> {
        Some(result.map(|value| format!("{value:?}")))
    }
    let body = Bytes::from_static(b"{}");
    let password = SecretString::from("test123");
    let raw: Box<serde_json::value::RawValue> = serde_json::from_str(r#"{"header":{}}"#).unwrap();
    match exchange.route.as_str() {
        "GET /api/status" => text(daemon.status().await),
        "GET /api/mining/blocktemplate" => text(daemon.template(None).await),
        "POST /api/mining/renewtemplate" => text(daemon.renew_template("00").await),
        "POST /api/mining/submitblock" if exchange.name.contains("full") => {
            text(daemon.submit_full(&raw, Nonce::new(1), None).await)
        }
        "POST /api/mining/submitblock" => text(daemon.submit_compact("00", Nonce::new(1)).await),
        "GET /api/wallet/address" => text(daemon.wallet_address().await),
        "GET /api/wallet/balance" => text(daemon.wallet_balance().await),
        "GET /api/wallet/outputs" => text(daemon.wallet_outputs().await),
        "GET /api/wallet/sends" => text(daemon.wallet_sends(5, 0).await),
        "POST /api/wallet/load" => text(daemon.wallet_load(&password).await),
        "POST /api/wallet/unlock" => text(daemon.wallet_unlock(&password).await),
        "POST /api/wallet/send" if exchange.json["dry_run"] == true => text(daemon.send_dry_run(body).await),
        "POST /api/wallet/send/advanced" if exchange.json["dry_run"] == true => None,
        "POST /api/wallet/send" => text(daemon.send(body, "k").await),
        "POST /api/wallet/send/advanced" => text(daemon.send_advanced(body, "k").await),
        "GET /api/wallet/send/status" => text(daemon.send_status("k", false).await),
        "GET /api/wallet/send/advanced/status" => text(daemon.send_status("k", true).await),
        route if route.starts_with("GET /api/block/") => text(daemon.block_by_height(Height::new(1)).await),
        _ => None,
    }
}

/// What each recorded refusal must be sorted as.
fn expected(status: u16, text: &str) -> fn(&DaemonError) -> bool {
    use DaemonError as E;
    match (status, text) {
        (400, "block rejected as stale") | (409, "template no longer builds on current tip") => {
            |error| *error == E::Stale
        }
        (400 | 404, "unknown or expired template_id") => |error| *error == E::UnknownTemplate,
        (401, "wrong password" | "incorrect password") => |error| *error == E::Wallet(WalletState::WrongPassword),
        (403, "wallet is locked") => |error| *error == E::Wallet(WalletState::Locked),
        (503, "no wallet loaded") => |error| *error == E::Wallet(WalletState::NotLoaded),
        (409, "idempotency key in progress") => |error| *error == E::Conflict(Conflict::InProgress),
        (409, "idempotency key reuse with different request") => |error| *error == E::Conflict(Conflict::KeyReuse),
        (429, _) => |error| matches!(error, E::Busy { .. }),
        _ => |error| matches!(error, E::Refused { .. }),
    }
}

#[actix_rt::test]
async fn every_recorded_answer_is_understood() {
    let next: Arc<Mutex<ScriptedAnswer>> = Arc::new(Mutex::new(ScriptedAnswer::json(200, "{}")));
    let script = Arc::clone(&next);
    let fake = Fake::start(move |_| script.lock().unwrap().clone());
    let daemon = fake.client();
    let mut good: HashMap<String, usize> = HashMap::new();
    let mut asked = 0;
    for exchange in recorded() {
        *next.lock().unwrap() = exchange.answer.clone();
        let Some(outcome) = ask(&daemon, &exchange).await else { continue };
        asked += 1;
        let (name, status) = (&exchange.name, exchange.answer.status);
        let refusal = exchange.json["error"].as_str().unwrap_or_default();
        match outcome {
            Ok(_) if status == 200 => *good.entry(exchange.route.clone()).or_default() += 1,
            Ok(value) if (status, refusal) == (404, "block not found") => assert_eq!(value, "None", "{name}"),
            Ok(value) if (status, refusal) == (409, "wallet already loaded") => assert_eq!(value, "None", "{name}"),
            Err(error) if status != 200 => {
                assert!(expected(status, refusal)(&error), "{name} {}: {error:?}", exchange.path);
                assert_eq!(error.is_definitely_not_done(), refusal != "idempotency key in progress", "{name}");
            }
            outcome => panic!("{name} ({status}) was read as {outcome:?}"),
        }
    }
    assert!(asked > 85, "only {asked} recorded answers were read");
    assert_eq!(good.keys().filter(|route| !route.contains("/block/")).count(), 14, "{good:?}");
}

/// The recorded answer with this name, through the client.
macro_rules! replay {
    ($name:literal, |$daemon:ident| $call:expr) => {{
        let exchange = recorded().into_iter().find(|exchange| exchange.name == $name).unwrap();
        let fake = Fake::start(move |_| exchange.answer.clone());
        let $daemon = fake.client();
        $call.await.unwrap()
    }};
}

#[actix_rt::test]
async fn the_values_are_those_that_were_recorded() {
    let status = replay!("status", |daemon| daemon.status());
    assert_eq!((status.chain_height.get(), status.best_hash.as_str()), (30, "15a5dc346b092c57"));
    assert!(status.wallet && !status.syncing && status.mempool_generation == Some(0));
    assert!(!replay!("status_locked", |daemon| daemon.status()).wallet);

    let template = replay!("blocktemplate", |daemon| daemon.template(None));
    assert_eq!(template.header_base.height(), Height::new(31));
    assert!(template.template_id.is_some() && template.expires_at.is_some());
    let block: chain::Block = serde_json::from_str(template.block.get()).unwrap();
    assert_eq!(block.header.base(), template.header_base);

    let block = replay!("block_1", |daemon| daemon.block_by_height(Height::new(1))).unwrap();
    assert_eq!(block.hash.to_string(), "233487641c8f8a6d4de26daf99049cb240289525842d6806d5cfa5dde28f925c");

    let Balance::Ready(balance) = replay!("balance_after_send", |daemon| daemon.wallet_balance()) else { panic!() };
    assert_eq!(balance.pending_unconfirmed.atoms(), 71_825_045_825);
    let outputs = replay!("outputs", |daemon| daemon.wallet_outputs());
    assert_eq!(outputs.outputs[0].status, OutputState::Unspent);
    assert!(outputs.outputs[0].coinbase && outputs.outputs[0].confirmations == 104);
    let sends = replay!("restart_sends", |daemon| daemon.wallet_sends(3, 0));
    assert_eq!((sends.total, sends.sends[0].confirmations, sends.sends[0].fee.atoms()), (2, 287, 69_370));

    let SendStatus::Completed(sent) = replay!("status_completed", |daemon| daemon.send_status("p-1", false)) else {
        panic!()
    };
    assert_eq!(sent.fee.atoms(), 47_210);
    let failed = replay!("status_failed", |daemon| daemon.send_status("p-2", false));
    assert!(matches!(failed, SendStatus::Failed { status: 400, .. }));
    assert_eq!(replay!("restart_send_status", |daemon| daemon.send_status("mid-1", false)), SendStatus::Accepted);
}
