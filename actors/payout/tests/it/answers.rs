//! Answers that the simulated daemon cannot be brought to give, from a scripted one. The chain stays the simulated one's.
use std::sync::{Arc, Mutex};

use daemon::fake::{Fake, RecordedRequest, ScriptedAnswer};
use secrecy::SecretString;
use settings::DaemonEndpoint;
use store::payouts::IntentState;
use units::Amount;

use crate::harness::{COIN, Harness, address, atoms};

const TXID: &str = "abababababababababababababababababababababababababababababababab";
const REWARD: u64 = 72_325_093_035;

/// What the scripted daemon says; one output is in its wallet, and no send.
#[derive(Default)]
struct World {
    tip: u64,
    /// To a send.
    send: Option<ScriptedAnswer>,
    /// State and rest of the record under the key of each attempt.
    keys: Vec<&'static str>,
}

fn answer(world: &World, seen: &RecordedRequest) -> ScriptedAnswer {
    let tip = world.tip;
    let path = seen.path.split('?').next().unwrap();
    match path {
        "/api/status" => ScriptedAnswer::json(
            200,
            format!(r#"{{"peers":1,"chain_height":{tip},"best_hash":"00","total_work":1,"syncing":false}}"#),
        ),
        "/api/wallet/address" => ScriptedAnswer::json(200, format!(r#"{{"address":"{}"}}"#, address(999))),
        "/api/wallet/balance" => ScriptedAnswer::json(
            200,
            format!(
                r#"{{"spendable":{REWARD},"pending":0,"total":{REWARD},"chain_height":{tip},"synced_height":{tip}}}"#
            ),
        ),
        "/api/wallet/outputs" => ScriptedAnswer::json(
            200,
            format!(
                r#"{{"chain_height":{tip},"synced_height":{tip},"outputs":[{{"txid":"{TXID}","output_index":0,
                "amount":{REWARD},"status":"unspent","type":"coinbase","confirmations":9,"block_height":1}}]}}"#
            ),
        ),
        "/api/wallet/sends" => ScriptedAnswer::json(200, r#"{"total":0,"sends":[]}"#),
        "/api/wallet/send/advanced/status" => {
            let attempt: usize = seen.path.rsplit('-').next().unwrap().parse().unwrap_or(1);
            let record = world.keys.get(attempt - 1).or(world.keys.last()).unwrap_or(&r#""state":"not_found""#);
            ScriptedAnswer::json(200, format!("{{{record}}}"))
        }
        "/api/wallet/send/advanced" if seen.body.contains(r#""dry_run":true"#) => {
            let dry = format!(r#"{{"fee":47210,"change":1,"input_count":1,"input_total":{REWARD}}}"#);
            ScriptedAnswer::json(200, dry)
        }
        "/api/wallet/send/advanced" if seen.key.is_some() => world.send.clone().unwrap(),
        _ if path.starts_with("/api/block/") => ScriptedAnswer::error(404, "block not found"),
        _ => ScriptedAnswer::error(400, "no"),
    }
}

struct Scene {
    harness: Harness,
    world: Arc<Mutex<World>>,
    fake: Fake,
}

impl Scene {
    async fn new(send: ScriptedAnswer, keys: &[&'static str]) -> Scene {
        let mut harness = Harness::new().await;
        let world = World { tip: 0, send: Some(send), keys: keys.to_vec() };
        let world = Arc::new(Mutex::new(world));
        let script = Arc::clone(&world);
        let fake = Fake::start(move |seen| answer(&script.lock().unwrap(), seen));
        let token = SecretString::from("t");
        harness.point_at(DaemonEndpoint { url: fake.url.clone(), token, ..DaemonEndpoint::default() });
        harness.owe(&address(1), 10 * COIN).await;
        let mut scene = Scene { harness, world, fake };
        scene.block();
        scene
    }

    fn block(&mut self) {
        self.harness.mine(1);
        self.world.lock().unwrap().tip = self.harness.control().tip().height;
    }

    /// Requests to send, as key and body.
    fn asked(&self) -> Vec<(String, String)> {
        let sends = self.fake.seen().into_iter().filter(|seen| seen.path == "/api/wallet/send/advanced");
        sends.filter_map(|seen| Some((seen.key?, seen.body))).collect()
    }
}

const FAILED: &str = r#""state":"failed","original_status":400,"error":"input 0: reserved""#;

#[actix_rt::test]
async fn a_refusal_that_the_daemon_has_stored_makes_the_money_payable_again() {
    let mut scene = Scene::new(ScriptedAnswer::error(400, "input 0: reserved"), &[FAILED]).await;
    scene.harness.sweep().await;
    let id = scene.harness.only().await.id;
    scene.harness.ticks(2).await;
    let released = scene.harness.find(&id).await;
    assert_eq!((released.state, released.attempts[0].outcome.as_deref()), (IntentState::Released, Some("refused")));
    assert_eq!(scene.harness.balance(&address(1)).await.payable, atoms(10 * COIN));
    scene.harness.audit().await;
    assert_eq!(scene.asked().len(), 1);
    // The next run asks under the key of another payout.
    scene.world.lock().unwrap().keys.clear();
    let sent = format!(r#"{{"txid":"{TXID}","fee":47210,"change":1}}"#);
    scene.world.lock().unwrap().send = Some(ScriptedAnswer::json(200, sent));
    scene.harness.sweep().await;
    assert_eq!(scene.harness.only().await.state, IntentState::Broadcast);
    assert_ne!(scene.asked()[0].0, scene.asked()[1].0);
}

#[actix_rt::test]
async fn a_refusal_after_an_unknown_attempt_spends_the_same_inputs_again_once_per_block() {
    let accepted = r#""state":"accepted""#;
    let mut scene = Scene::new(ScriptedAnswer::error(409, "idempotency key in progress"), &[accepted, FAILED]).await;
    scene.harness.sweep().await;
    for _ in 0..3 {
        scene.harness.ticks(2).await;
        scene.block();
    }
    scene.harness.ticks(4).await;
    assert_eq!(scene.harness.only().await.attempts.len(), 2, "refused at this tip already");
    scene.block();
    scene.harness.ticks(4).await;
    let held = scene.harness.only().await;
    assert_eq!(held.attempts.len(), 3);
    let outcomes: Vec<_> = held.attempts.iter().map(|attempt| attempt.outcome.as_deref()).collect();
    assert_eq!(outcomes, [Some("accepted"), Some("refused"), None]);
    assert!(held.attempts.iter().all(|attempt| attempt.inputs == [(TXID.parse().unwrap(), 0).into()]));
    assert!(scene.asked().iter().all(|(_, body)| *body == scene.asked()[0].1), "the bytes stay");
    assert_eq!(scene.harness.balance(&address(1)).await.payable, Amount::ZERO, "the first may still be mined");
    scene.harness.audit().await;
}

#[actix_rt::test]
async fn a_failure_inside_the_daemon_is_replaced_after_three_blocks() {
    let stored = r#""state":"failed","original_status":500,"error":"internal error""#;
    let mut scene = Scene::new(ScriptedAnswer::error(500, "internal error"), &[stored]).await;
    scene.harness.sweep().await;
    for _ in 0..3 {
        scene.harness.ticks(2).await;
        assert_eq!(scene.asked().len(), 1);
        scene.block();
    }
    scene.harness.ticks(2).await;
    assert_eq!(scene.asked().len(), 2);
    assert_eq!(scene.harness.only().await.attempts[0].outcome.as_deref(), Some("failed"));
}

#[actix_rt::test]
async fn what_runs_is_waited_for_without_end() {
    let running = r#""state":"in_progress""#;
    let mut scene = Scene::new(ScriptedAnswer::error(502, "bad gateway"), &[running]).await;
    scene.harness.sweep().await;
    for _ in 0..6 {
        scene.harness.ticks(2).await;
        scene.block();
    }
    let waiting = scene.harness.only().await;
    assert_eq!((waiting.state, waiting.attempts.len()), (IntentState::Unknown, 1));
    assert_eq!(scene.asked().len(), 1);
}

#[actix_rt::test]
async fn answers_that_say_not_now_repeat_the_same_bytes_under_the_same_key() {
    let not_now = [
        ScriptedAnswer::error(429, "send busy, retry later"),
        ScriptedAnswer::error(429, "send rate limit exceeded"),
        ScriptedAnswer::error(503, "node is syncing"),
    ];
    for refusal in not_now {
        let mut scene = Scene::new(refusal, &[]).await;
        scene.harness.sweep().await;
        scene.harness.ticks(3).await;
        let waiting = scene.harness.only().await;
        assert_eq!((waiting.state, waiting.attempts.len()), (IntentState::Reserved, 1));
        let asked = scene.asked();
        assert!(asked.len() >= 3 && asked.iter().all(|request| *request == asked[0]), "{asked:?}");
    }
}

#[actix_rt::test]
async fn a_key_that_names_another_request_is_an_operators_business() {
    let reuse = ScriptedAnswer::error(409, "idempotency key reuse with different request");
    let running = r#""state":"in_progress""#;
    let mut scene = Scene::new(reuse, &[running]).await;
    scene.harness.sweep().await;
    let held = scene.harness.only().await;
    assert_eq!(held.state, IntentState::Unknown);
    assert!(held.attention.unwrap().contains("another request"));
    scene.harness.ticks(2).await;
    assert_eq!(scene.asked().len(), 1);
}
