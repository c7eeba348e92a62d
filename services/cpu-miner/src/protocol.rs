//! What the miner says and understands, and the rules by which it gives a connection up. No I/O here.
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use chain::{HeaderBase, PowHash, Target};
use serde::Deserialize;
use serde_json::{Value, json};

/// What this client can do; a pool that requires anything else is refused.
const CAPABILITIES: [&str; 4] =
    ["login_negotiation", "share_validation_status", "submit_claimed_hash", "difficulty_hint"];
/// Every login answer has this id, whatever else is under way.
pub(super) const LOGIN_ID: u64 = 1;
const STALE_FOR_SECS_MAX: f64 = 15.0;
const STALES_MAX: usize = 3;
const STALES_WITHIN: Duration = Duration::from_secs(60);

/// A line from the pool. One with a member of another type is dropped whole.
#[derive(Debug, Deserialize)]
pub(super) struct Incoming {
    pub(super) id: Option<u64>,
    pub(super) method: Option<String>,
    pub(super) status: Option<String>,
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) result: Value,
    #[serde(default)]
    pub(super) params: Value,
}

/// Work as the pool gave it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Job {
    pub(super) job_id: String,
    pub(super) header_base: HeaderBase,
    pub(super) target: Target,
    pub(super) height: u64,
    pub(super) nonce_start: u64,
    pub(super) nonce_end: u64,
    pub(super) difficulty: Option<u64>,
}

impl Job {
    /// `None` when a member is missing, of another form, or the range is empty.
    pub(super) fn read(params: Value) -> Option<Job> {
        let job: Job = serde_json::from_value(params).ok()?;
        (job.nonce_start <= job.nonce_end).then_some(job)
    }
}

pub(super) fn login(address: &str, worker: &str, difficulty_hint: Option<u64>) -> String {
    let mut params = json!({
        "address": address, "worker": worker, "protocol_version": 2, "capabilities": CAPABILITIES,
    });
    if let Some(hint) = difficulty_hint {
        params["difficulty_hint"] = hint.into();
    }
    json!({"id": LOGIN_ID, "method": "login", "params": params}).to_string() + "\n"
}

pub(super) fn submit(id: u64, job_id: &str, nonce: u64, claimed_hash: Option<&PowHash>) -> String {
    let mut params = json!({"job_id": job_id, "nonce": nonce});
    if let Some(hash) = claimed_hash {
        params["claimed_hash"] = hash.to_string().into();
    }
    json!({"id": id, "method": "submit", "params": params}).to_string() + "\n"
}

/// What a good login allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Negotiated {
    pub(super) sends_claimed_hash: bool,
    pub(super) takes_difficulty_hint: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LoginResult {
    protocol_version: u64,
    capabilities: Vec<String>,
    required_capabilities: Vec<String>,
}

/// Judges a login answer; `Err` is why it is a rejection.
pub(super) fn judge_login(answer: &Incoming) -> Result<Negotiated, String> {
    if let Some(error) = &answer.error {
        return Err(error.clone());
    }
    if !answer.status.as_deref().is_some_and(|status| status.eq_ignore_ascii_case("ok")) {
        return Err("the login answer is not ok".to_owned());
    }
    let result: LoginResult = serde_json::from_value(answer.result.clone()).unwrap_or_default();
    let unknown = |name: &&String| !CAPABILITIES.contains(&name.as_str());
    if let Some(name) = result.required_capabilities.iter().find(unknown) {
        return Err(format!("pool requires unsupported capability {name}"));
    }
    let has = |name: &str| result.capabilities.iter().chain(&result.required_capabilities).any(|has| has == name);
    let is_legacy =
        result.protocol_version < 2 && result.capabilities.is_empty() && result.required_capabilities.is_empty();
    Ok(Negotiated {
        sends_claimed_hash: has("submit_claimed_hash") || is_legacy,
        takes_difficulty_hint: has("difficulty_hint"),
    })
}

/// Whether a submit was accepted; `Err` is the pool's reason.
pub(super) fn judge_submit(answer: &Incoming) -> Result<(), String> {
    if let Some(error) = &answer.error {
        return Err(error.clone());
    }
    let is_ok = answer.status.as_deref().is_some_and(|status| status.eq_ignore_ascii_case("ok"));
    if answer.result["accepted"].as_bool().unwrap_or(is_ok) { Ok(()) } else { Err("not accepted".to_owned()) }
}

/// Counts stale answers of the current job, and says when to log in again.
#[derive(Debug, Default)]
pub(super) struct StaleWatch(VecDeque<Instant>);

impl StaleWatch {
    /// An accepted share or another refusal: all is well again.
    pub(super) fn reset(&mut self) {
        self.0.clear();
    }

    /// A refusal of a share of the current job; true when the miner must reconnect.
    pub(super) fn refused(&mut self, text: &str, now: Instant) -> bool {
        let text = text.to_lowercase();
        if !text.contains("stale job") {
            self.reset();
            return false;
        }
        let stale_for_secs = text
            .split_once("stale_for=")
            .and_then(|(_, rest)| rest.split_once('s'))
            .and_then(|(number, _)| number.parse::<f64>().ok());
        if text.contains("assignment not found") || stale_for_secs.is_some_and(|secs| secs >= STALE_FOR_SECS_MAX) {
            return true;
        }
        self.0.push_back(now);
        self.0.retain(|at| now.duration_since(*at) < STALES_WITHIN);
        self.0.len() >= STALES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incoming(line: &str) -> Incoming {
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn a_pool_that_requires_what_the_client_has_not_is_refused() {
        let ok = incoming(
            r#"{"id":1,"status":"OK","result":{"protocol_version":2,"capabilities":["difficulty_hint"],"required_capabilities":["submit_claimed_hash"]}}"#,
        );
        let negotiated = Negotiated { sends_claimed_hash: true, takes_difficulty_hint: true };
        assert_eq!(judge_login(&ok), Ok(negotiated));
        let more = incoming(r#"{"id":1,"status":"ok","result":{"required_capabilities":["x"]}}"#);
        assert_eq!(judge_login(&more), Err("pool requires unsupported capability x".into()));
        let legacy = Negotiated { sends_claimed_hash: true, takes_difficulty_hint: false };
        assert_eq!(judge_login(&incoming(r#"{"id":1,"status":"ok"}"#)), Ok(legacy));
        assert_eq!(judge_login(&incoming(r#"{"id":1,"error":"invalid address"}"#)), Err("invalid address".into()));
    }

    #[test]
    fn a_line_with_a_member_of_another_type_is_dropped() {
        assert!(serde_json::from_str::<Incoming>(r#"{"id":2,"error":{"code":1}}"#).is_err());
        assert!(serde_json::from_str::<Incoming>(r#"{"id":-2,"status":"ok"}"#).is_err());
        assert!(serde_json::from_str::<Incoming>(r#"{"id":null,"method":"job"}"#).unwrap().id.is_none());
    }

    #[test]
    fn stale_answers_end_the_connection_by_the_clients_three_rules() {
        let start = Instant::now();
        let refused =
            |watch: &mut StaleWatch, text: &str, after: u64| watch.refused(text, start + Duration::from_secs(after));
        let superseded = "stale job: assignment superseded by newer difficulty (stale_for=9.500s, stale_grace=8.000s)";
        let mut watch = StaleWatch::default();
        assert!(refused(&mut watch, "Stale job: assignment not found", 0));
        assert!(refused(&mut watch, "stale job: x (stale_for=15.000s, stale_grace=8.000s)", 0));
        assert!(!refused(&mut watch, "stale job: x (stale_for=900ms, stale_grace=8.000s)", 0));
        assert!(!refused(&mut watch, superseded, 30));
        assert!(refused(&mut watch, superseded, 59));
        watch.reset();
        assert!(!refused(&mut watch, superseded, 60));
        assert!(!refused(&mut watch, "server busy, retry", 61));
        assert!(!refused(&mut watch, superseded, 62));
        assert!(!refused(&mut watch, superseded, 63));
        assert!(refused(&mut watch, superseded, 64));
    }
}
