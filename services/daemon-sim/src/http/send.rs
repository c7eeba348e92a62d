//! The two send routes, and what became of a send.
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Call;
use super::answer::{Answer, Stop, go_time};
use super::wallet::open_wallet;
use crate::faults::Phase;
use crate::node::idempotency::{Begin, KEY_BYTES_MAX, Namespace, State};
use crate::node::wallet::{Plan, SpendRefusal};
use crate::node::{SendAnswer, SendRequest};

/// The order of the checks is part of the interface: what comes before the key is not recorded under it.
pub(super) async fn send(call: &Call, namespace: Namespace) -> Result<Answer, Stop> {
    open_wallet(&mut *call.instance.node()?)?;
    if call.instance.node()?.is_view_only {
        return Ok(Answer::error(403, "view-only wallet cannot send"));
    }
    let Some(body) = call.body.as_deref() else { return Ok(Answer::error(400, "invalid JSON body")) };
    let key = call.idempotency_key.as_str();
    if key.len() > KEY_BYTES_MAX {
        return Ok(Answer::error(400, "idempotency key too long"));
    }
    if key.is_empty() {
        return limited(call, namespace, body).await;
    }
    let begin = {
        let mut node = call.instance.node()?;
        let now_ns = node.clock.now_ns();
        node.idempotency.begin(namespace, key, body, now_ns)?
    };
    match begin {
        Begin::Replay { status, body } => return Ok(Answer::raw(status, body)),
        Begin::Reused => return Ok(Answer::error(409, "idempotency key reuse with different request")),
        Begin::InProgress => return Ok(Answer::error(409, "idempotency key in progress")),
        Begin::Fresh => {}
    }
    let answer = match limited(call, namespace, body).await {
        Ok(answer) | Err(Stop::Answer(answer)) => answer,
        Err(Stop::Gone) => return Err(Stop::Gone),
    };
    let mut node = call.instance.node()?;
    let now_ns = node.clock.now_ns();
    node.idempotency.finish(namespace, key, answer.status, &answer.body, now_ns)?;
    Ok(answer)
}

async fn limited(call: &Call, namespace: Namespace, body: &[u8]) -> Result<Answer, Stop> {
    let gate = {
        let mut node = call.instance.node()?;
        let now_ms = node.clock.now_ms();
        if !node.send_bucket.take(call.caller, now_ms) {
            return Ok(Answer::error(429, "send rate limit exceeded"));
        }
        node.send_gate.clone()
    };
    let Some(_place) = gate.enter() else { return Ok(Answer::error(429, "send busy, retry later")) };
    let request = match SendRequest::read(namespace, body) {
        Ok(request) => request,
        Err(text) => return Ok(Answer::error(400, text)),
    };
    let plan = {
        let _reading = call.instance.chain_lock.read().await;
        let mut node = call.instance.node()?;
        open_wallet(&mut node)?;
        node.plan_send(&request).map_err(refuse)?
    };
    if request.is_dry_run {
        return Ok(Answer::json(200, &SendAnswer::new(&request, &plan, None)));
    }
    make(call, &request, &plan).await
}

async fn make(call: &Call, request: &SendRequest, plan: &Plan) -> Result<Answer, Stop> {
    let shared = &call.instance.shared;
    call.meet_faults(Phase::During).await;
    pause(shared.params.send_build).await;
    let broadcast = call.instance.node()?.broadcast_send(request, plan).map_err(refuse)?;
    let Some(txid) = broadcast else { return Ok(Answer::error(500, "internal error")) };
    call.meet_faults(Phase::Effected).await;
    pause(shared.params.wallet_save).await;
    if let Some(wallet) = &mut call.instance.node()?.wallet {
        wallet.save()?;
    }
    Ok(Answer::json(200, &SendAnswer::new(request, plan, Some(txid.to_string()))))
}

async fn pause(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

fn refuse(refusal: SpendRefusal) -> Stop {
    Answer::error(refusal.status(), &refusal).into()
}

pub(super) fn status(call: &Call, namespace: Namespace) -> Result<Answer, Stop> {
    let key = call.query.get("idempotency_key").map(|key| key.trim()).unwrap_or_default();
    if key.is_empty() {
        return Ok(Answer::error(400, "idempotency_key is required"));
    }
    if key.len() > KEY_BYTES_MAX {
        return Ok(Answer::error(400, "idempotency key too long"));
    }
    let mut node = call.instance.node()?;
    let now_ns = node.clock.now_ns();
    let Some(record) = node.idempotency.get(namespace, key, now_ns) else {
        return Ok(Answer::json(200, &json!({"idempotency_key": key, "state": "not_found"})));
    };
    let mut answer = Map::new();
    answer.insert("created_at".to_owned(), go_time(record.created_at_ns).into());
    answer.insert("idempotency_key".to_owned(), key.into());
    answer.insert("state".to_owned(), json!(record.state));
    answer.insert("updated_at".to_owned(), go_time(record.updated_at_ns).into());
    let stored: Value = serde_json::from_str(&record.body).unwrap_or_default();
    match record.state {
        State::Completed => {
            answer.insert("original_status".to_owned(), record.status.into());
            answer.insert("result".to_owned(), stored);
        }
        State::Failed => {
            answer.insert("original_status".to_owned(), record.status.into());
            answer.insert("error".to_owned(), stored["error"].clone());
        }
        State::InProgress | State::Accepted => {}
    }
    Ok(Answer::json(200, &answer))
}
