//! Answers recorded from a running daemon, one by one: the simulated one is brought into the same state, asked the
//! same, and must answer with the same status, content type, keys, types, texts, and amounts. What is random or
//! depends on the clock is only held to be consistent: a recorded id stands for one of ours from its first sight on.
//!
//! Not compared, of 137: none is left out. Not compared within them: bytes of proofs and keys (their length is),
//! times, nonces, and how far a wallet file had been synced when it was loaded.
#![expect(clippy::unwrap_used, reason = "what fails in a helper fails the test that called it")]
mod common;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;
use std::time::Duration;

use common::{Lab, PASSWORD, Reply, SOMEBODY, Solver, header_base};
use daemon_sim::{Action, Fault, MineOrder, Phase};
use serde_json::{Value, json};

/// Strings under these keys are random.
const RANDOM: [&str; 11] = [
    "hash",
    "prev_hash",
    "merkle_root",
    "txid",
    "template_id",
    "best_hash",
    "peer_id",
    "reward_address_used",
    "address",
    "one_time_pub",
    "commitment",
];
/// Values under these keys depend on the clock or on chance.
const TIMELY: [&str; 9] = [
    "timestamp",
    "Timestamp",
    "nonce",
    "created_at",
    "updated_at",
    "template_expires_at_unix_ms",
    "file_size_bytes",
    "identity_age",
    "Nonce",
];
const KEPT_HEADERS: [&str; 3] = ["Content-Type", "Transfer-Encoding", "Allow"];

/// What a recorded text stands for in this run.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    fn learn(&mut self, recorded: &str, ours: &str) {
        self.0.insert(recorded.to_owned(), ours.to_owned());
        self.0.insert(recorded.to_uppercase(), ours.to_uppercase());
    }

    fn translate(&self, text: &str) -> String {
        // A status shows the beginning of a hash that is known whole elsewhere, so the longest goes first.
        let mut names: Vec<_> = self.0.iter().collect();
        names.sort_by_key(|(recorded, _)| std::cmp::Reverse(recorded.len()));
        names.iter().fold(text.to_owned(), |text, (recorded, ours)| text.replace(*recorded, ours))
    }

    fn compare(&mut self, place: &str, key: &str, recorded: &Value, ours: &Value) {
        match (recorded, ours) {
            (Value::Object(recorded), Value::Object(ours)) => {
                let keys = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
                assert_eq!(keys(recorded), keys(ours), "keys of {place}");
                for (key, value) in recorded {
                    self.compare(&format!("{place}.{key}"), key, value, &ours[key]);
                }
            }
            (Value::Array(recorded), Value::Array(ours)) => {
                assert_eq!(recorded.len(), ours.len(), "length of {place}");
                let is_bytes = recorded.len() >= 8 && recorded.iter().all(Value::is_number);
                for (at, (recorded, ours)) in recorded.iter().zip(ours).enumerate() {
                    if !is_bytes {
                        self.compare(&format!("{place}[{at}]"), key, recorded, ours);
                    }
                }
            }
            (Value::String(recorded), Value::String(ours)) => {
                if ["range_proof", "header_base"].contains(&key) {
                    return assert_eq!(recorded.len(), ours.len(), "length of {place}");
                }
                let expected = self.translate(recorded);
                if expected == *ours || TIMELY.contains(&key) {
                    return;
                }
                let is_unknown = !self.0.contains_key(recorded);
                assert!(RANDOM.contains(&key) && is_unknown, "{place} should be {expected}, is {ours}");
                self.learn(recorded, ours);
            }
            (Value::Number(_), Value::Number(_)) if TIMELY.contains(&key) => {}
            _ => assert_eq!(recorded, ours, "{place}"),
        }
    }
}

struct Stage {
    lab: Lab,
    names: Names,
    solver: Solver,
    /// Bodies whose nonces or blocks had to be made anew.
    bodies: HashMap<&'static str, String>,
    running_send: Option<JoinHandle<Option<Reply>>>,
    events: Option<BufReader<TcpStream>>,
}

impl Stage {
    fn template(&self) -> Value {
        self.lab.get("/api/mining/blocktemplate").json()
    }

    fn mine(&self, to_height: u64, empty: bool) {
        let count = to_height - self.lab.control().tip().height;
        let order =
            MineOrder { count, to: "wallet".to_owned(), spacing_secs: Some(300), empty, ..MineOrder::default() };
        self.lab.control().mine(&order).unwrap();
    }

    /// Lets every bucket fill up.
    fn rest(&self) {
        let control = self.lab.control();
        control.set_clock_offset_ms(control.clock_offset_ms() + 5000);
    }

    /// Brings the daemon into the state in which this exchange was recorded.
    fn prepare(&mut self, name: &str) {
        if !matches!(name.split_once("_burst_"), Some((_, number)) if number != "0") {
            self.rest();
        }
        let control = self.lab.control();
        match name {
            "health" => {
                assert_eq!(self.lab.post("/api/wallet/create", &json!({"password": PASSWORD})).status, 200);
                self.mine(30, true);
            }
            "balance" => self.mine(100, true),
            // The block of the meantime was built on a template from before the send.
            "send_insufficient" => self.mine(101, true),
            "outputs" => {
                self.mine(104, false);
                control.pause_wallet_scan(true).unwrap();
                self.mine(105, true);
            }
            "adv_dry" => {
                control.pause_wallet_scan(false).unwrap();
                self.mine(106, true);
            }
            "adv_immature" => {
                self.mine(107, true);
                self.mine(108, false);
            }
            "status_locked" => self.mine(112, true),
            "template_locked" => self.mine(113, true),
            "sync" => {
                control.pause_wallet_scan(true).unwrap();
                self.mine(114, true);
            }
            "submit_bad_pow" => self.prepare_mining(),
            "submit_old_tip_purged" => self.prepare_full_submits(),
            "status_in_progress" => self.prepare_running_send(),
            "restart_status" => {
                control.restart(Duration::ZERO, false).unwrap();
                control.clear_faults();
                let lost = self.running_send.take().unwrap().join().unwrap();
                assert!(lost.is_none(), "a send that was cut off by a kill has no answer");
            }
            _ => {}
        }
    }

    fn prepare_mining(&mut self) {
        self.lab.control().pause_wallet_scan(false).unwrap();
        self.mine(392, true);
        self.events = Some(self.subscribe());
        for (name, recorded, is_good) in [
            ("submit_bad_pow", "9cc77182d5a3fc54", false),
            ("submit_compact_ok", "a745e5e7f189e03e", true),
            ("submit_old_tip", "001f7f7a8461d020", true),
        ] {
            let template = self.template();
            let id = template["template_id"].as_str().unwrap().to_owned();
            self.names.learn(recorded, &id);
            let nonce = self.solver.nonce(&header_base(&template), is_good);
            let body = json!({"template_id": id, "nonce": nonce}).to_string();
            if name == "submit_compact_ok" {
                self.bodies.insert("submit_compact_again", body.clone());
            }
            self.bodies.insert(name, body);
        }
    }

    fn prepare_full_submits(&mut self) {
        let block = self.template()["block"].clone();
        let mut spoilt: chain::Block = serde_json::from_value(block).unwrap();
        let mut good = spoilt.clone();
        spoilt.header.merkle_root.0[0] ^= 1;
        for (name, block) in [("submit_full_bad_merkle", &mut spoilt), ("submit_full_ok", &mut good)] {
            block.header.nonce = self.solver.nonce(&block.header.base(), true);
            self.bodies.insert(name, serde_json::to_string(block).unwrap());
        }
    }

    fn prepare_running_send(&mut self) {
        let delay = Action::DelayMs(60_000);
        self.lab.control().add_fault(Fault::once("wallet/send", Phase::During, delay));
        let (client, authorization) = (self.lab.client.clone(), self.lab.authorization());
        let body = format!(
            r#"{{"recipients": [{{"address": "{SOMEBODY}", "amount": 361625465175, "memo_text": "mid-send"}}]}}"#
        );
        self.running_send = Some(std::thread::spawn(move || {
            let headers = [("Authorization", authorization.as_str()), ("Idempotency-Key", "mid-1")];
            client.send("POST", "/api/wallet/send", &headers, &body)
        }));
        while !self.lab.control().faults().is_empty() {
            std::thread::yield_now();
        }
    }

    fn ask(&self, exchange: &Value) -> Reply {
        let name = exchange["name"].as_str().unwrap();
        let request = &exchange["request"];
        let path = self.names.translate(request["path"].as_str().unwrap());
        let body = match (self.bodies.get(name), &request["body"]) {
            (Some(body), _) => body.clone(),
            (None, Value::Null) => String::new(),
            (None, Value::String(text)) => text.clone(),
            (None, json) => self.names.translate(&json.to_string()),
        };
        let authorization = match name {
            "mining_bad_token" => format!("Bearer {}", "0".repeat(64)),
            _ => self.lab.authorization(),
        };
        let mut headers = Vec::new();
        if request["token"] == true {
            headers.push(("Authorization", authorization.as_str()));
        }
        for (header, value) in request["headers"].as_object().into_iter().flatten() {
            headers.push((header.as_str(), value.as_str().unwrap()));
        }
        self.lab.client.send(request["method"].as_str().unwrap(), &path, &headers, &body).expect(name)
    }

    fn check(&mut self, exchange: &Value) {
        let name = exchange["name"].as_str().unwrap();
        self.prepare(name);
        let reply = self.ask(exchange);
        assert_eq!(exchange["status"], reply.status, "{name}: {}", reply.body);
        for header in KEPT_HEADERS {
            assert_eq!(exchange["headers"][header].as_str(), reply.header(header), "{header} of {name}");
        }
        let Some(recorded) = exchange.get("json") else {
            return assert_eq!(exchange["text"], reply.body, "{name}");
        };
        let mut ours = reply.json();
        if exchange["note"].as_str().is_some_and(|note| note.starts_with("list shortened")) {
            keep_recorded_heights(recorded, &mut ours);
        }
        if name.starts_with("load") && reply.status == 200 {
            // Depends on when the file was last saved.
            assert!(ours["synced_height"].as_u64() < ours["chain_height"].as_u64());
            ours["synced_height"] = recorded["synced_height"].clone();
        }
        if name.starts_with("block_tip") {
            assert_eq!(ours["height"], 394);
        }
        self.names.compare(name, "", recorded, &ours);
    }

    fn subscribe(&self) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.lab.client.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let authorization = self.lab.authorization();
        write!(stream, "GET /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        // The stream has begun when its head is here; what is mined from now on is on it.
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        reader
    }
}

/// Leaves those entries of ours that the recording kept.
fn keep_recorded_heights(recorded: &Value, ours: &mut Value) {
    let name = |output: &Value| (output["block_height"].as_u64(), output["type"].to_string());
    let kept: Vec<_> = recorded["outputs"].as_array().unwrap().iter().map(name).collect();
    ours["outputs"].as_array_mut().unwrap().retain(|output| kept.contains(&name(output)));
}

#[test]
fn every_recorded_answer_is_given_again() {
    let lab = Lab::start(|params| params.events_keepalive = Duration::from_millis(100));
    lab.control().stop_clock(true);
    let mut stage = Stage {
        lab,
        names: Names::default(),
        solver: Solver::new(),
        bodies: HashMap::new(),
        running_send: None,
        events: None,
    };
    let mut count = 0;
    for line in include_str!("data/daemon-http.jsonl").lines() {
        let exchange: Value = serde_json::from_str(line).unwrap();
        if exchange["name"] == "status_in_progress" {
            check_events(&mut stage);
        }
        stage.check(&exchange);
        count += 1;
    }
    assert_eq!(count, 137);
}

/// The recorded stream has two blocks of a pool, each with its two events in either order, and comments.
fn check_events(stage: &mut Stage) {
    let recorded = include_str!("data/daemon-events.txt").replace('\r', "");
    let (_, recorded) = recorded.split_once("\n\n").unwrap();
    let mut expected: Vec<&str> = recorded.trim_end().split("\n\n").collect();
    assert_eq!(expected.iter().filter(|frame| **frame == ": keepalive").count(), 1);
    expected.retain(|frame| *frame != ": keepalive");

    let reader = stage.events.take().unwrap();
    let mut ours: Vec<String> = Vec::new();
    let mut keepalives = 0;
    let mut frame = String::new();
    for line in reader.lines() {
        let line = line.unwrap();
        if line.is_empty() && !frame.is_empty() {
            match frame.trim_end() {
                ": keepalive" => keepalives += 1,
                frame => ours.push(frame.to_owned()),
            }
            frame.clear();
        } else if line.starts_with("event: ") || line.starts_with("data: ") || line.starts_with(": ") {
            frame += &format!("{line}\n");
        }
        if ours.len() == expected.len() && keepalives > 0 {
            break;
        }
    }
    assert!(ours[0].starts_with("event: connected"), "{}", ours[0]);
    let sort = |frames: &mut [&str]| {
        for pair in frames[1..].chunks_mut(2) {
            pair.sort_unstable();
        }
    };
    let mut ours: Vec<&str> = ours.iter().map(String::as_str).collect();
    sort(&mut expected);
    sort(&mut ours);
    for (recorded, ours) in expected.iter().zip(&ours) {
        let split = |frame: &str| {
            let (event, data) = frame.split_once("\ndata: ").unwrap();
            (event.to_owned(), serde_json::from_str::<Value>(data).unwrap())
        };
        let ((event, recorded), (our_event, ours)) = (split(recorded), split(ours));
        assert_eq!(event, our_event);
        stage.names.compare(&event, "", &recorded, &ours);
    }
}
