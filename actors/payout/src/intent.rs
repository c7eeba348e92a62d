//! A stored payout as such: what can be told of it without asking anybody.
use store::payouts::{Attempt, Intent, IntentChange, IntentState};

use crate::error::PayoutError;

pub(crate) const PLAIN: &str = "send";
pub(crate) const ADVANCED: &str = "advanced";

pub(crate) fn to(state: IntentState) -> IntentChange {
    IntentChange { state: Some(state), ..IntentChange::default() }
}

pub(crate) fn newest(intent: &Intent) -> Result<&Attempt, PayoutError> {
    let none = || PayoutError::Books { id: intent.id.clone(), why: "it has no attempt".to_owned() };
    intent.attempts.last().ok_or_else(none)
}

/// The idempotency key of an attempt.
pub(crate) fn key_of(id: &str, attempt: i64) -> String {
    format!("{id}-{attempt}")
}

/// Whoever reserved it may have asked for it, as far as these books know.
pub(crate) fn is_of_earlier_lease(intent: &Intent, epoch: i64) -> bool {
    intent.reserved_epoch != Some(epoch)
}

pub(crate) fn is_reserved(intent: &Intent) -> bool {
    intent.state == IntentState::Reserved
}

/// An operator's word comes first.
pub(crate) fn is_to_send(intent: &Intent) -> bool {
    is_reserved(intent) && intent.word.is_none()
}
