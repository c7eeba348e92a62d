//! What goes wrong on purpose, and when.
use serde::{Deserialize, Serialize};

/// A moment in the life of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing was looked at yet.
    Before,
    /// A send has its key recorded as running and its inputs chosen; a submit is about to be validated. No effect yet.
    During,
    /// The effect is there (transaction in the mempool, block on the chain), but neither the wallet nor the outcome
    /// under the key is saved.
    Effected,
    /// All is done but the answer.
    After,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The request waits so long, then goes on.
    DelayMs(u64),
    /// The connection closes without an answer. What the request does goes on, unless the phase is `before`.
    Drop,
    /// This answer is given: at `before` nothing else happens, at `after` it replaces the true one. The phases between
    /// do not know it.
    Respond {
        /// HTTP status.
        status: u16,
        /// JSON text.
        body: String,
    },
    /// The daemon dies as by SIGKILL and starts again after so many milliseconds.
    Restart {
        /// How long nobody listens.
        down_ms: u64,
    },
}

/// One thing to go wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The route's path without `/api/` and without its last variable part (`status`, `block`,
    /// `mining/submitblock`, `wallet/send`, `events`), or `*`.
    pub route: String,
    /// When.
    pub phase: Phase,
    /// What.
    pub action: Action,
    /// How many requests it meets; `None` for all until it is cleared.
    #[serde(default)]
    pub count: Option<u64>,
}

impl Fault {
    /// A fault that meets one request.
    #[must_use]
    pub fn once(route: &str, phase: Phase, action: Action) -> Fault {
        Fault { route: route.to_owned(), phase, action, count: Some(1) }
    }

    /// A fault that stays until it is cleared.
    #[must_use]
    pub fn always(route: &str, phase: Phase, action: Action) -> Fault {
        Fault { route: route.to_owned(), phase, action, count: None }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn list(&self) -> &[Fault] {
        &self.0
    }

    /// What meets this request at this moment, in the order in which it was asked for.
    pub(crate) fn take(&mut self, route: &str, phase: Phase) -> Vec<Action> {
        let mut actions = Vec::new();
        for fault in &mut self.0 {
            let meets = fault.phase == phase && (fault.route == "*" || fault.route == route);
            if meets && fault.count != Some(0) {
                fault.count = fault.count.map(|count| count.saturating_sub(1));
                actions.push(fault.action.clone());
            }
        }
        self.0.retain(|fault| fault.count != Some(0));
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_fault_meets_so_many_requests_of_its_route_and_moment() {
        let mut faults = Faults::default();
        faults.add(Fault { count: Some(2), ..Fault::once("status", Phase::After, Action::Drop) });
        faults.add(Fault::always("*", Phase::After, Action::DelayMs(5)));
        assert_eq!(faults.take("status", Phase::Before), []);
        assert_eq!(faults.take("block", Phase::After), [Action::DelayMs(5)]);
        assert_eq!(faults.take("status", Phase::After), [Action::Drop, Action::DelayMs(5)]);
        assert_eq!(faults.take("status", Phase::After), [Action::Drop, Action::DelayMs(5)]);
        assert_eq!(faults.take("status", Phase::After), [Action::DelayMs(5)]);
        assert_eq!(faults.list().len(), 1);
    }

    #[test]
    fn a_fault_reads_as_the_control_endpoint_takes_it() {
        let text = r#"{"route":"wallet/send","phase":"effected","action":{"restart":{"down_ms":50}},"count":1}"#;
        let fault: Fault = serde_json::from_str(text).unwrap();
        assert_eq!(fault, Fault::once("wallet/send", Phase::Effected, Action::Restart { down_ms: 50 }));
    }
}
