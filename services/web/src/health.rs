//! Is it alive, can it work, what are its figures; and fault drills.
use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse, web};
use messages::conditions::{Condition, Effect};
use messages::facts::DaemonState;
use runtime::Health;
use serde_json::{Value, json};

use crate::WebParts;
use crate::answer::{ApiError, ApiResult, check_key};

pub(crate) async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "alive": true }))
}

/// 503 with every reason while something that mining or money needs is missing. What is broken but has a replacement
/// is listed as degraded. Daemons are told by their place in the settings: the answer is public.
///
/// Nothing is asked for it: whoever does the work says what stands, so that it is answered while a database hangs.
///
/// With an API key it also lists each condition with host names, files and sums, and since when it is so.
pub(crate) async fn ready(parts: web::Data<WebParts>, request: HttpRequest) -> HttpResponse {
    let mut reasons: Vec<String> = parts
        .ports
        .iter()
        .filter(|port| port.status().health != Health::Up)
        .map(|port| format!("actor {} is {:?}", port.name(), port.status().health).to_lowercase())
        .collect();
    let tip = parts.tip.borrow().clone();
    match &tip {
        tip if !tip.reachable => reasons.push("daemon does not answer".into()),
        tip if tip.syncing => reasons.push("daemon is catching up with the network".into()),
        _ => {}
    }
    if let Some(best) = tip.behind {
        reasons.push(format!(
            "daemon's chain, at height {}, has less work than one seen before, at height {best}: \
             no block is credited and nothing is paid until it has caught up",
            tip.height
        ));
    }
    let mut degraded = Vec::new();
    for (place, daemon) in parts.daemons.borrow().iter().enumerate() {
        if daemon.wallet_shut {
            let sentence = format!("daemon {}'s wallet is not open, and the pool cannot open it", place + 1);
            if daemon.chosen { reasons.push(sentence) } else { degraded.push(sentence) }
        }
        let Some(trouble) = trouble(daemon.state) else { continue };
        let sentence = format!("daemon {} {trouble}", place + 1);
        match daemon.state {
            _ if !daemon.chosen => degraded.push(sentence),
            // The tip says these.
            DaemonState::Away | DaemonState::Syncing => {}
            DaemonState::Behind if tip.behind.is_some() => {}
            _ => reasons.push(sentence),
        }
    }
    if parts.jobs.borrow().is_none() {
        reasons.push("no job yet".into());
    }
    if parts.counts.log_backlog_bytes.get() > parts.settings.ledger.backlog_bytes() {
        reasons.push("share log is full".into());
    }
    if parts.counts.log_unreadable.get() > 0 {
        reasons.push("share log is damaged: its shares are not booked".into());
    }
    match parts.counts.booking_clock.minutes_ahead.get() {
        // A clock may be set back a little at any time.
        0..=5 => {}
        minutes => degraded.push(format!("shares are booked {minutes} minutes ahead of the clock, which was set back")),
    }
    let conditions = parts.conditions.list();
    for condition in &conditions {
        let list = match condition.kind.effect() {
            Effect::Stops => &mut reasons,
            Effect::Degrades => &mut degraded,
        };
        list.push(condition.text.clone());
    }
    let mut body = json!({ "ready": reasons.is_empty(), "reasons": reasons, "degraded": degraded });
    if check_key(&request, &parts.keys).is_ok() {
        body["conditions"] = conditions.iter().map(detailed).collect();
    }
    if reasons.is_empty() { HttpResponse::Ok().json(body) } else { HttpResponse::ServiceUnavailable().json(body) }
}

fn detailed(condition: &Condition) -> Value {
    json!({
        "condition": condition.kind.code(), "since": condition.since.to_string(), "text": condition.text,
        "detail": condition.detail,
    })
}

fn trouble(state: DaemonState) -> Option<&'static str> {
    match state {
        DaemonState::Unknown | DaemonState::Good => None,
        DaemonState::Away => Some("does not answer"),
        DaemonState::Syncing => Some("is catching up with the network"),
        DaemonState::Behind => Some("is behind another daemon"),
        DaemonState::NoTemplate => Some("gives no usable template"),
        DaemonState::ForeignAddress => Some("would pay another address than the pool's"),
    }
}

pub(crate) async fn metrics(parts: web::Data<WebParts>) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::plaintext()).body((parts.metrics)())
}

/// Breaks something on purpose; only where drills are given, and only with a key.
pub(crate) async fn drill(parts: web::Data<WebParts>, request: HttpRequest, body: web::Bytes) -> ApiResult {
    let Some(drill) = &parts.drill else { return Err(ApiError::NoRoute) };
    check_key(&request, &parts.keys)?;
    let order = serde_json::from_slice(&body).map_err(|error| ApiError::BadRequest(format!("body: {error}")))?;
    Ok(HttpResponse::Ok().json(json!({ "done": drill(order) })))
}
