//! The lines of a real miner, recorded on an existing pool, said to this one.
use std::collections::HashMap;
use std::time::Duration;

use daemon_sim::MineOrder;
use e2e::{Client, Config, Fleet, Job, Network, Proof, address_of, audit, repository, wait_for};
use serde_json::Value;

const MINUTE: Duration = Duration::from_secs(60);

/// One line of a recording.
struct Recorded {
    connection: u64,
    from: String,
    line: String,
}

impl Recorded {
    fn message(&self) -> Option<Value> {
        serde_json::from_str(&self.line).ok()
    }
}

fn session() -> Vec<Recorded> {
    let text = std::fs::read_to_string(repository().join("schema/wire/tests/stratum-session.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let read = |line: Value| {
        Some(Recorded {
            connection: line["conn"].as_u64()?,
            from: line["from"].as_str()?.to_owned(),
            line: line.get("line")?.as_str()?.to_owned(),
        })
    };
    lines.filter_map(read).collect()
}

/// A text without what differs from pool to pool: names of 16 digits and durations.
fn shape(text: &str) -> String {
    let word = |word: &str| {
        let is_name = word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = word.strip_suffix('s').map(|number| number.trim_end_matches('m'));
        let is_time = number.is_some_and(|number| number.parse::<f64>().is_ok());
        if is_name || is_time { "#".to_owned() } else { word.to_owned() }
    };
    text.split_inclusive([' ', '=', '(', ')', ','])
        .map(|part| {
            let end = part.trim_end_matches([' ', '=', '(', ')', ',']).len();
            word(&part[..end]) + &part[end..]
        })
        .collect()
}

/// Members of an answer's result and the kinds of their values.
fn kinds(answer: &Value) -> Vec<(String, &'static str)> {
    let kind = |value: &Value| match value {
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        _ => "other",
    };
    let members = answer["result"].as_object().unwrap_or_else(|| panic!("no result in {answer}"));
    let mut kinds: Vec<_> = members.iter().map(|(name, value)| (name.clone(), kind(value))).collect();
    kinds.sort();
    kinds
}

/// A pool that believes every hash, on a chain where none of the recorded ones is a block.
fn world(place: &tempfile::TempDir) -> (Network, Config) {
    let network = Network::start(&place.path().join("network"), Fleet::NONE, &["--difficulty-floor", "1000000"]);
    let config = Config::new(place.path(), &network).trusting().easy();
    (network, config)
}

/// Says one recorded connection to the pool, each line in its turn; how many requests were answered.
fn replay(lines: &[&Recorded], pool: &str, network: &Network, proof: &mut Proof) -> usize {
    let mut client = Client::connect(pool);
    // Recorded job to job, and how far its nonces are moved: one job here may stand for several there.
    let mut jobs: HashMap<String, (Job, u64)> = HashMap::new();
    let mut current: Option<(u64, Job)> = None;
    let mut asked: HashMap<u64, Option<(Job, u64)>> = HashMap::new();
    for recorded in lines {
        let message = recorded.message();
        match (recorded.from.as_str(), message) {
            ("miner", None) => client.send_line(""),
            ("miner", Some(mut message)) => {
                let mut share = None;
                if message["method"] == "submit" {
                    let (job, recorded_start) = &jobs[message["params"]["job_id"].as_str().unwrap()];
                    let nonce = message["params"]["nonce"].as_u64().unwrap() - recorded_start + job.nonce_start;
                    message["params"]["job_id"] = job.id.clone().into();
                    message["params"]["nonce"] = nonce.into();
                    share = Some((job.clone(), nonce));
                }
                let again = asked.insert(message["id"].as_u64().unwrap(), share);
                assert!(again.is_none(), "the miner used an id twice");
                client.send(&message);
            }
            (_, Some(message)) if message["method"] == "job" => {
                let params = &message["params"];
                let (height, start) = (params["height"].as_u64().unwrap(), params["nonce_start"].as_u64().unwrap());
                let job = match current.take() {
                    Some((at, job)) if at == height => job,
                    before => {
                        if let Some((at, _)) = &before {
                            network.mine(&MineOrder { count: height - at, ..MineOrder::default() });
                        }
                        client.job_above(before.map_or(0, |(_, job)| job.height))
                    }
                };
                current = Some((height, job.clone()));
                let moved = u64::try_from(jobs.len()).unwrap() * 10_000;
                jobs.insert(params["job_id"].as_str().unwrap().to_owned(), (job, start - moved));
            }
            (_, Some(message)) if message.get("id").is_some() => {
                let id = message["id"].as_u64().unwrap();
                let answer = client.answer(id);
                assert_eq!(answer["status"], "ok", "{answer}");
                if message["status"] == "ok" {
                    assert_eq!(kinds(&answer), kinds(&message), "{answer}");
                }
                if let Some((job, nonce)) = &asked[&id] {
                    assert_eq!(answer["result"]["accepted"], true);
                    proof.acknowledged(job, *nonce);
                }
            }
            _ => {}
        }
    }
    assert!(client.is_open(), "the pool has closed the connection");
    assert!(client.unclaimed().is_empty(), "answered more than once: {:?}", client.unclaimed());
    asked.len()
}

#[test]
fn every_request_of_the_recorded_miner_is_answered_once_and_in_the_recorded_form() {
    let place = tempfile::tempdir().unwrap();
    let (network, config) = world(&place);
    let pool = config.start_ready();
    let mut proof = Proof::default();
    let lines = session();
    let mut answered = 0;
    for connection in 1..=3 {
        let lines: Vec<&Recorded> = lines.iter().filter(|line| line.connection == connection).collect();
        answered += replay(&lines, &pool.stratum(), &network, &mut proof);
    }
    assert_eq!(answered, 3 + 25);
    assert_eq!(pool.metric("meshpool_shares_accepted_total", ""), 25);
    assert_eq!(pool.metric("meshpool_shares_rejected_total", ""), 0);
    proof.shares_are_booked(&network, &config);
    audit(&config).assert_clean();
    assert_eq!(pool.terminate(), 0);
}

#[test]
fn late_shares_are_refused_in_the_recorded_words() {
    let place = tempfile::tempdir().unwrap();
    let (network, config) = world(&place);
    // So impatient that whatever is not current is late; and quick to make shares harder.
    let config = config.set("stratum.stale_grace", "0s").set("vardiff.enabled", true).set("vardiff.max", 1000);
    let pool = config.start_ready();
    let mut client = Client::login(&pool.stratum(), &address_of("late"), "rig");
    let first = client.job();
    // Many shares in no time make the next job of the same template harder.
    let late = |client: &mut Client, job: &Job, nonce: u64| {
        let id = client.submit(&job.id, job.nonce_start + nonce, &first.made_up_hash());
        client.answer(id)["error"].as_str().unwrap_or_default().to_owned()
    };
    let mut nonces = first.nonce_start..;
    let harder = wait_for("a harder job after many quick shares", MINUTE, || {
        let id = client.submit(&first.id, nonces.next()?, &first.made_up_hash());
        client.answer(id);
        let job = client.job();
        (job.id != first.id).then_some(job)
    });
    assert_eq!(harder.height, first.height);
    let superseded = late(&mut client, &first, 100_000);
    network.mine(&MineOrder::default());
    client.job_above(first.height);
    let stale = late(&mut client, &harder, 0);

    let recorded: Vec<String> = session()
        .iter()
        .filter_map(|line| Some(line.message()?["error"].as_str()?.to_owned()))
        .filter(|text| text.starts_with("stale job"))
        .map(|text| shape(&text))
        .collect();
    assert_eq!(recorded.len(), 9);
    for text in [&superseded, &stale] {
        assert!(recorded.contains(&shape(text)), "`{text}` is none of {recorded:?}");
    }
    assert_ne!(shape(&superseded), shape(&stale));
    assert!(client.is_open());
    assert_eq!(pool.terminate(), 0);
}
