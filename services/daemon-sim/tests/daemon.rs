//! What the simulated daemon does beyond its recorded answers: what survives, what gets lost, what goes wrong on
//! purpose.
mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use common::{Lab, PASSWORD, SOMEBODY, Solver, header_base};
use daemon_sim::{Action, Fault, MineOrder, Params, Phase, ReorgOrder, Routes, SimulatedDaemon};
use serde_json::{Value, json};

const REWARD: u64 = 72_325_093_035;
const FEE: u64 = 47_210;

fn payment() -> String {
    json!({"recipients": [{"address": SOMEBODY, "amount": 500_000_000, "memo_text": "payout 17"}]}).to_string()
}

fn send(lab: &Lab, key: &str) -> Option<common::Reply> {
    lab.try_request("POST", "/api/wallet/send", Some(key), &payment())
}

fn state(lab: &Lab, key: &str) -> Value {
    lab.get(&format!("/api/wallet/send/status?idempotency_key={key}")).json()["state"].clone()
}

fn fault(lab: &Lab, phase: Phase, action: Action) {
    lab.control().add_fault(Fault::once("wallet/send", phase, action));
}

#[test]
fn a_send_whose_reply_is_lost_is_replayed_and_pays_once() {
    let lab = Lab::with_wallet(70);
    fault(&lab, Phase::After, Action::Drop);
    assert!(send(&lab, "p").is_none());
    assert_eq!(state(&lab, "p"), "completed");
    let replayed = send(&lab, "p").unwrap();
    assert_eq!(replayed.status, 200);
    assert_eq!(lab.get("/api/mempool").json()["count"], 1);
    lab.mine(1);
    let income = lab.control().income(SOMEBODY).unwrap();
    assert_eq!(income.len(), 1);
    assert_eq!((income[0].amount, income[0].memo_hex.as_str()), (500_000_000, "7061796f7574203137"));
    assert_eq!(replayed.json()["txid"], income[0].txid.to_string());
    assert_eq!(lab.control().sends()[0].confirmed_height, Some(71));
}

#[test]
fn a_connection_dropped_before_the_effect_leaves_nothing() {
    let lab = Lab::with_wallet(70);
    fault(&lab, Phase::Before, Action::Drop);
    fault(&lab, Phase::Before, Action::Respond { status: 502, body: "{}".to_owned() });
    assert!(send(&lab, "p").is_none());
    assert_eq!(state(&lab, "p"), "not_found");
    assert!(lab.control().sends().is_empty());
    assert_eq!(send(&lab, "p").unwrap().status, 200);
}

#[test]
fn a_kill_while_a_send_is_built_leaves_its_key_accepted_and_its_money() {
    let lab = Lab::with_wallet(70);
    fault(&lab, Phase::During, Action::Restart { down_ms: 0 });
    assert!(send(&lab, "p").is_none());
    wait_until_up(&lab);
    assert_eq!(lab.get("/api/wallet/balance").error(), "no wallet loaded");
    lab.load_wallet();
    assert_eq!(state(&lab, "p"), "accepted");
    assert_eq!(send(&lab, "p").unwrap().error(), "idempotency key in progress");
    assert_eq!(lab.get("/api/wallet/sends").json()["total"], 0);
    assert_eq!(lab.get("/api/wallet/balance").json()["spendable"], 10 * REWARD);
    assert_eq!(send(&lab, "p2").unwrap().status, 200);
}

#[test]
fn a_kill_after_the_broadcast_forgets_the_send_but_the_network_does_not() {
    let lab = Lab::with_wallet(70);
    fault(&lab, Phase::Effected, Action::Restart { down_ms: 0 });
    assert!(send(&lab, "p").is_none());
    wait_until_up(&lab);
    lab.load_wallet();
    assert_eq!(state(&lab, "p"), "accepted");
    assert_eq!(lab.get("/api/wallet/sends").json()["total"], 0);
    assert_eq!(lab.get("/api/mempool").json()["count"], 0);
    let order = MineOrder { forgotten: true, spacing_secs: Some(300), ..MineOrder::default() };
    lab.control().mine(&order).unwrap();
    assert_eq!(lab.control().income(SOMEBODY).unwrap().len(), 1);
    let outputs = lab.get("/api/wallet/outputs").json();
    assert_eq!(outputs["spent"], 1, "the wallet sees on the chain that its input is gone");
}

#[test]
fn a_finished_send_survives_a_kill_and_its_inputs_come_back_only_with_a_block() {
    let lab = Lab::with_wallet(70);
    assert_eq!(send(&lab, "p").unwrap().status, 200);
    lab.control().restart(Duration::ZERO, false).unwrap();
    lab.load_wallet();
    assert_eq!(state(&lab, "p"), "completed");
    let sends = lab.get("/api/wallet/sends").json();
    assert_eq!(sends["sends"][0]["chain_state"], "not_found");
    let balance = lab.get("/api/wallet/balance").json();
    assert_eq!(balance["spendable"], 9 * REWARD, "the file remembers what was spent");
    assert_eq!(balance["pending_unconfirmed"], REWARD - 500_000_000 - FEE);
    lab.mine(1); // The mempool was lost, so this block has nothing of it.
    let balance = lab.get("/api/wallet/balance").json();
    assert_eq!((&balance["spendable"], &balance["pending_unconfirmed"]), (&json!(11 * REWARD), &json!(0)));
}

#[test]
fn chain_wallet_and_keys_persist_while_token_templates_and_mempool_do_not() {
    let lab = Lab::with_wallet(70);
    let (token, tip) = (lab.daemon.token(), lab.control().tip());
    let address = lab.get("/api/wallet/address").json();
    let id = lab.get("/api/mining/blocktemplate").json()["template_id"].clone();
    lab.control().add_transactions(2).unwrap();
    lab.control().restart(Duration::ZERO, false).unwrap();
    assert_eq!(lab.control().tip(), tip);
    assert_ne!(lab.daemon.token(), token);
    let cookie = lab.daemon.cookie_path();
    assert_eq!(std::fs::read_to_string(&cookie).unwrap(), lab.daemon.token());
    assert_eq!(cookie.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    lab.load_wallet();
    assert_eq!(lab.get("/api/wallet/address").json(), address);
    assert_eq!(lab.get("/api/mempool").json()["count"], 0);
    let submit = lab.post("/api/mining/submitblock", &json!({"template_id": id, "nonce": 0}));
    assert_eq!(submit.error(), "unknown or expired template_id");
    lab.daemon.stop();
    assert!(!cookie.exists(), "a clean end removes the cookie");
}

#[test]
fn a_reorganisation_gives_transactions_back_and_keeps_the_orphan_by_hash() {
    let lab = Lab::with_wallet(70);
    send(&lab, "p").unwrap();
    lab.mine(1);
    let orphan = lab.control().tip();
    assert_eq!(lab.get("/api/wallet/sends").json()["sends"][0]["confirmations"], 1);
    let tip = lab.control().reorganise(ReorgOrder { depth: 1, silent: false }).unwrap();
    assert!(tip.total_work > orphan.total_work && tip.height == 72);
    let by_hash = lab.get(&format!("/api/block/{}", orphan.hash)).json();
    assert_eq!(by_hash["confirmations"], 2);
    assert_ne!(lab.get("/api/block/71").json()["hash"], by_hash["hash"]);
    assert_eq!(lab.get("/api/wallet/sends").json()["sends"][0]["chain_state"], "mempool");
    assert!(lab.get("/api/wallet/balance").json()["pending_unconfirmed"].as_u64() > Some(0));
    assert!(lab.control().income(SOMEBODY).unwrap().is_empty());
    lab.mine(1);
    assert_eq!(lab.control().income(SOMEBODY).unwrap().len(), 1);
}

#[test]
fn history_deeper_than_a_hundred_blocks_is_final() {
    let lab = Lab::with_wallet(110);
    let refused = lab.control().reorganise(ReorgOrder { depth: 101, silent: false }).unwrap_err().to_string();
    assert_eq!(refused, "a reorganisation of 101 blocks is deeper than 100 or than the chain");
    let tip = lab.control().reorganise(ReorgOrder { depth: 100, silent: false }).unwrap();
    assert_eq!(tip.height, 111);
    assert_eq!(lab.get("/api/wallet/balance").json()["outputs_total"], 10);
}

#[test]
fn a_solved_block_pays_whom_the_template_named_and_the_second_of_a_tip_is_stale() {
    let lab = Lab::with_wallet(1);
    let mut solver = Solver::new();
    let template = lab.get(&format!("/api/mining/blocktemplate?address={SOMEBODY}")).json();
    let other = lab.get("/api/mining/blocktemplate").json();
    let mut submit = |template: &Value| {
        let nonce = solver.nonce(&header_base(template), true);
        lab.post("/api/mining/submitblock", &json!({"template_id": template["template_id"], "nonce": nonce}))
    };
    let accepted = submit(&template).json();
    assert_eq!((&accepted["accepted"], &accepted["height"]), (&json!(true), &json!(2)));
    assert_eq!(submit(&other).error(), "block rejected as stale");
    let income = lab.control().income(SOMEBODY).unwrap();
    assert_eq!((income.len(), income[0].amount, income[0].is_coinbase), (1, REWARD, true));
}

#[test]
fn a_template_of_its_parents_second_can_only_be_submitted_in_full_with_another_time() {
    let lab = Lab::with_wallet(0);
    lab.control().stop_clock(true);
    let mut solver = Solver::new();
    lab.control().mine(&MineOrder { spacing_secs: Some(1_000_000), ..MineOrder::default() }).unwrap();
    let first = lab.get("/api/mining/blocktemplate").json();
    let nonce = solver.nonce(&header_base(&first), true);
    let body = json!({"template_id": first["template_id"], "nonce": nonce});
    assert_eq!(lab.post("/api/mining/submitblock", &body).status, 200);
    let same_second = lab.get("/api/mining/blocktemplate").json();
    let nonce = solver.nonce(&header_base(&same_second), true);
    let body = json!({"template_id": same_second["template_id"], "nonce": nonce});
    assert_eq!(lab.post("/api/mining/submitblock", &body).error(), "block rejected");
    let mut block: chain::Block = serde_json::from_value(same_second["block"].clone()).unwrap();
    block.header.timestamp += 1;
    block.header.nonce = solver.nonce(&block.header.base(), true);
    assert_eq!(lab.post("/api/mining/submitblock", &serde_json::to_value(block).unwrap()).status, 200);
}

#[test]
fn submits_wait_for_one_validation_while_status_does_not() {
    let lab = Lab::with_wallet(1);
    let template = lab.get("/api/mining/blocktemplate").json();
    let body = json!({"template_id": template["template_id"], "nonce": 0}).to_string();
    lab.control().add_fault(Fault::once("mining/submitblock", Phase::During, Action::DelayMs(60_000)));
    let submit_apart = || {
        let (client, authorization, body) = (lab.client.clone(), lab.authorization(), body.clone());
        std::thread::spawn(move || {
            client.send("POST", "/api/mining/submitblock", &[("Authorization", &authorization)], &body)
        })
    };
    let first = submit_apart();
    while !lab.control().faults().is_empty() {
        std::thread::yield_now();
    }
    lab.control().add_fault(Fault::once("mining/submitblock", Phase::Before, Action::DelayMs(0)));
    let second = submit_apart();
    while !lab.control().faults().is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(lab.get("/api/status").status, 200);
    // The second may not have come to its place yet, so this asks until both are taken; the clock fills the bucket.
    lab.control().stop_clock(true);
    let busy = loop {
        lab.control().set_clock_offset_ms(lab.control().clock_offset_ms() + 1000);
        let (client, authorization) = (lab.client.clone(), lab.authorization());
        let reply = client.send("POST", "/api/mining/submitblock", &[("Authorization", &authorization)], "{");
        let reply = reply.unwrap();
        if reply.status == 429 {
            break reply;
        }
    };
    assert_eq!(busy.error(), "submitblock busy, retry later");
    lab.control().restart(Duration::ZERO, false).unwrap();
    assert!(first.join().unwrap().is_none() && second.join().unwrap().is_none());
}

#[test]
fn an_old_daemon_has_only_the_old_routes_and_fields() {
    let lab = Lab::start(|params| {
        params.routes = Routes::Basic;
        params.premined = 70;
        params.auto_wallet_password = Some(PASSWORD.to_owned());
    });
    lab.load_wallet();
    for path in ["/api/stats", "/api/mempool", "/api/wallet/sends", "/api/wallet/outputs", "/api/mining"] {
        assert_eq!(lab.get(path).status, 404, "{path}");
    }
    assert_eq!(lab.get("/api/wallet/send/status?idempotency_key=p").status, 404);
    assert_eq!(lab.post("/api/mining/renewtemplate", &json!({"template_id": "00"})).status, 404);
    assert_eq!(lab.post("/api/wallet/send/advanced", &json!({})).status, 404);
    assert!(lab.get("/api/status").json().get("mempool_generation").is_none());
    let template = lab.get("/api/mining/blocktemplate").json();
    assert!(template.get("mempool_generation").is_none() && template.get("template_expires_at_unix_ms").is_none());
    lab.control().mine(&MineOrder { count: 61, to: "wallet".to_owned(), ..MineOrder::default() }).unwrap();
    let first = send(&lab, "p").unwrap();
    assert_eq!((first.status, &send(&lab, "p").unwrap().body), (200, &first.body), "keys are replayed all the same");
}

#[test]
fn a_body_over_a_mebibyte_is_not_json_and_ends_the_connection() {
    let lab = Lab::with_wallet(0);
    let reply = lab.try_request("POST", "/api/wallet/send", Some("k"), &" ".repeat(1_048_577)).unwrap();
    assert_eq!((reply.status, reply.error().as_str()), (400, "invalid JSON body"));
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(state(&lab, "k"), "not_found");
}

#[test]
fn change_is_split_with_the_rest_on_the_first_part_and_only_mature_inputs_can_be_named() {
    let lab = Lab::with_wallet(61);
    let coin = lab.get("/api/wallet/outputs").json()["outputs"][0].clone();
    let input = json!({"txid": coin["txid"], "output_index": 0});
    let body = json!({"recipients": [{"address": SOMEBODY, "amount": 5}], "inputs": [input], "change_split": 4});
    let sent = lab.post("/api/wallet/send/advanced", &body).json();
    let fee = 10 * (49 + 1228 * 5 + 2216);
    assert_eq!((&sent["fee"], &sent["change"]), (&json!(fee), &json!(REWARD - 5 - fee)));
    lab.mine(1);
    let outputs = lab.get("/api/wallet/outputs").json();
    let outputs = outputs["outputs"].as_array().unwrap();
    let mut change: Vec<u64> = outputs
        .iter()
        .filter(|output| output["type"] == "regular")
        .map(|output| output["amount"].as_u64().unwrap())
        .collect();
    change.sort_unstable();
    let (each, rest) = ((REWARD - 5 - fee) / 4, (REWARD - 5 - fee) % 4);
    assert_eq!(change, [each, each, each, each + rest]);
}

#[test]
fn an_event_stream_is_silent_about_synced_blocks_and_ends_when_the_daemon_hangs_up() {
    let lab = Lab::with_wallet(1);
    let mut stream = TcpStream::connect(&lab.client.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n", lab.authorization()).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut next_event = || lines.find(|line| line.starts_with("data: ") || line == "0");
    assert_eq!(next_event().unwrap(), r#"data: {"chain_height":1,"syncing":false}"#);
    let silent = MineOrder { silent: true, ..MineOrder::default() };
    lab.control().mine(&silent).unwrap();
    lab.control().reorganise(ReorgOrder { depth: 1, silent: true }).unwrap();
    lab.control().stall_events(true);
    lab.mine(1);
    lab.control().stall_events(false);
    assert!(next_event().unwrap().contains(r#""height":4,"#));
    lab.control().hang_up_events();
    assert_eq!(next_event().as_deref(), Some("0"), "the last chunk");
}

#[test]
fn the_development_preset_stays_at_its_floor_while_blocks_are_on_time() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = SimulatedDaemon::start(Params { listen: ([127, 0, 0, 1], 0).into(), ..Params::devnet(dir.path()) });
    let daemon = daemon.unwrap();
    assert_eq!((daemon.control().tip().height, daemon.control().tip().next_difficulty), (40, 60));
    let order = MineOrder { count: 60, spacing_secs: Some(3), ..MineOrder::default() };
    assert_eq!(daemon.control().mine(&order).unwrap().next_difficulty, 60);
    let password = std::fs::read_to_string(dir.path().join("wallet.password")).unwrap();
    assert_eq!(password, "devnet");
}

/// The daemon was told to restart by a fault; its new token is the sign that it has.
fn wait_until_up(lab: &Lab) {
    while lab.try_request("GET", "/api/mining", None, "").is_none_or(|reply| reply.status != 200) {
        std::thread::yield_now();
    }
}
