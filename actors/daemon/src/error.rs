//! Why a request has no useful answer, sorted by what that means for whoever asked.
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use awc::error::PayloadError;

/// What every route returns.
pub type Result<T> = std::result::Result<T, DaemonError>;

/// What a failed request means. The variants differ in what is known about the daemon's side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DaemonError {
    /// The request never left: no connection, or no token to send. Nothing has happened.
    #[error("daemon {daemon} cannot be reached: {why}")]
    NotSent {
        /// Where it should be.
        daemon: String,
        /// What stood in the way; names the file when it is the token's.
        why: String,
    },
    /// The request went out and no answer came back that settles it: time was up, the connection broke, the
    /// answer could not be read, or the daemon failed inside. It may have happened or not; only asking tells.
    #[error("daemon {daemon} gave no clear answer to {route}: {why}")]
    Unknown {
        /// Who was asked.
        daemon: String,
        /// Method and path.
        route: &'static str,
        /// What came instead of an answer.
        why: String,
    },
    /// Not done, because the daemon is busy or catching up. The same request may be repeated later.
    #[error("daemon is busy: {text}")]
    Busy {
        /// Its words.
        text: String,
        /// When to try again, where it says.
        retry_after: Option<Duration>,
    },
    /// The block or template is not above the daemon's tip. An accepted block sent again also looks like this.
    #[error("block rejected as stale")]
    Stale,
    /// The daemon has forgotten this template id (expired, restarted, or a newer tip).
    #[error("unknown or expired template_id")]
    UnknownTemplate,
    /// The wallet cannot do this in its present state. Nothing has happened.
    #[error("wallet: {0}")]
    Wallet(WalletState),
    /// The idempotency key stands in the way.
    #[error("idempotency key: {0}")]
    Conflict(Conflict),
    /// The daemon refused the token, also after it was read again.
    #[error("daemon {daemon} refused the token from {place}")]
    Unauthorized {
        /// Who refused.
        daemon: String,
        /// Where the token came from; never the token.
        place: String,
    },
    /// The daemon has no such route: it is older than this client hopes.
    #[error("daemon has no route {route}")]
    NoSuchRoute {
        /// Method and path.
        route: &'static str,
    },
    /// A definite no.
    #[error("daemon refused {route} ({status}): {text}")]
    Refused {
        /// Method and path.
        route: &'static str,
        /// HTTP status.
        status: u16,
        /// Its words.
        text: String,
    },
}

/// Why the wallet refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WalletState {
    /// None is loaded (after every start of a headless daemon).
    #[error("none is loaded")]
    NotLoaded,
    /// It is loaded and locked.
    #[error("it is locked")]
    Locked,
    /// It has no spend key.
    #[error("it is view-only and cannot send")]
    ViewOnly,
    /// The password does not open it.
    #[error("wrong password")]
    WrongPassword,
}

/// Why an idempotency key was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Conflict {
    /// A request under this key is running, or was running when the daemon died. Only asking tells.
    #[error("in progress")]
    InProgress,
    /// Another request was sent under this key before. This one was not done.
    #[error("reused with a different request")]
    KeyReuse,
}

impl DaemonError {
    /// This very request had no effect. (An earlier one with the same meaning may have had.)
    #[must_use]
    pub fn is_definitely_not_done(&self) -> bool {
        !matches!(self, DaemonError::Unknown { .. } | DaemonError::Conflict(Conflict::InProgress))
    }

    /// The daemon did not speak: it is down, starting, hanging, or this client is not let in.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, DaemonError::NotSent { .. } | DaemonError::Unknown { .. } | DaemonError::Unauthorized { .. })
    }

    /// When the daemon asks to be tried again, where it says.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            DaemonError::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The wallet's state, if that is what stands in the way.
    #[must_use]
    pub fn wallet_state(&self) -> Option<WalletState> {
        match self {
            DaemonError::Wallet(state) => Some(*state),
            _ => None,
        }
    }
}

/// Why there is no token to send.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("neither a token nor a token file is set")]
    NotSet,
    /// None of the files holds one.
    #[error("{}", token_files(.0))]
    Files(Vec<(PathBuf, TokenFileError)>),
    #[error("the token holds characters that a header cannot")]
    Characters,
    /// The thread that read the files died.
    #[error("reading the token was broken off")]
    BrokenOff,
}

/// Why a file gives no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenFileError {
    #[error(transparent)]
    Read(#[from] io::Error),
    /// Its content cannot be one.
    #[error("it holds no token")]
    NoToken,
}

fn token_files(failures: &[(PathBuf, TokenFileError)]) -> String {
    let texts = failures.iter().map(|(path, why)| format!("token file {}: {why}", path.display()));
    texts.collect::<Vec<_>>().join("; ")
}

/// Why an answer was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("answer broke off: {0}")]
    BrokenOff(PayloadError),
    #[error("answer is longer than {0} bytes")]
    TooLong(usize),
}

/// An answer that is not a success.
pub(crate) struct HttpRefusal<'a> {
    pub(crate) daemon: &'a str,
    pub(crate) route: &'static str,
    pub(crate) status: u16,
    /// The body is JSON, so the daemon's handlers wrote it; otherwise its router or something in between did.
    pub(crate) json: bool,
    /// The `error` of the JSON body, or the body.
    pub(crate) text: String,
    /// The `code` of the JSON body.
    pub(crate) code: Option<String>,
    pub(crate) retry_after: Option<Duration>,
}

/// Sorts an answer that is not a success.
pub(crate) fn classify(refusal: HttpRefusal<'_>) -> DaemonError {
    let HttpRefusal { daemon, route, status, json, text, code, retry_after } = refusal;
    let busy = |text| DaemonError::Busy { text, retry_after };
    match (status, text.as_str()) {
        (404 | 405, _) if !json => DaemonError::NoSuchRoute { route },
        (503, "no wallet loaded") => DaemonError::Wallet(WalletState::NotLoaded),
        (403, "wallet is locked") => DaemonError::Wallet(WalletState::Locked),
        (403, "view-only wallet cannot send") => DaemonError::Wallet(WalletState::ViewOnly),
        (401, "wrong password" | "incorrect password") => DaemonError::Wallet(WalletState::WrongPassword),
        (400, "block rejected as stale") | (409, "template no longer builds on current tip") => DaemonError::Stale,
        (400 | 404, "unknown or expired template_id") => DaemonError::UnknownTemplate,
        (409, "idempotency key in progress") => DaemonError::Conflict(Conflict::InProgress),
        (409, "idempotency key reuse with different request") => DaemonError::Conflict(Conflict::KeyReuse),
        (429, _) => busy(text),
        (503, "node is syncing") => busy(text),
        (503, _) if code.is_some_and(|code| code.starts_with("mining_template_")) => busy(text),
        // The same two without a code.
        (503, text) if text.starts_with("mining template cache full") || text.starts_with("chain tip changed") => {
            busy(text.to_owned())
        }
        (500.., _) => {
            DaemonError::Unknown { daemon: daemon.to_owned(), route, why: format!("it answered {status}: {text}") }
        }
        _ => DaemonError::Refused { route, status, text },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, text: &str) -> DaemonError {
        classify(HttpRefusal {
            daemon: "d",
            route: "r",
            status,
            json: true,
            text: text.to_owned(),
            code: None,
            retry_after: None,
        })
    }

    #[test]
    fn every_text_of_the_daemon_has_its_class() {
        use DaemonError as E;
        let table = [
            (400, "block rejected as stale", E::Stale),
            (409, "template no longer builds on current tip", E::Stale),
            (400, "unknown or expired template_id", E::UnknownTemplate),
            (404, "unknown or expired template_id", E::UnknownTemplate),
            (503, "no wallet loaded", E::Wallet(WalletState::NotLoaded)),
            (403, "wallet is locked", E::Wallet(WalletState::Locked)),
            (403, "view-only wallet cannot send", E::Wallet(WalletState::ViewOnly)),
            (401, "wrong password", E::Wallet(WalletState::WrongPassword)),
            (401, "incorrect password", E::Wallet(WalletState::WrongPassword)),
            (409, "idempotency key in progress", E::Conflict(Conflict::InProgress)),
            (409, "idempotency key reuse with different request", E::Conflict(Conflict::KeyReuse)),
            (429, "send busy, retry later", E::Busy { text: "send busy, retry later".into(), retry_after: None }),
            (
                503,
                "mining template cache full, retry after a lease expires or the chain tip changes",
                E::Busy {
                    text: "mining template cache full, retry after a lease expires or the chain tip changes".into(),
                    retry_after: None,
                },
            ),
            (503, "node is syncing", E::Busy { text: "node is syncing".into(), retry_after: None }),
        ];
        for (status, text, expected) in table {
            assert_eq!(of(status, text), expected, "{status} {text}");
        }
        for (status, text) in [(400, "block rejected"), (422, "mempool rejected: x"), (409, "double-spend")] {
            assert_eq!(of(status, text), E::Refused { route: "r", status, text: text.into() });
        }
    }

    #[test]
    fn a_failure_inside_the_daemon_says_nothing_about_the_effect() {
        for (status, text) in [(500, "internal error"), (502, "bad gateway"), (503, "service unavailable")] {
            let error = of(status, text);
            assert!(matches!(error, DaemonError::Unknown { .. }), "{error}");
            assert!(!error.is_definitely_not_done() && error.is_unreachable());
        }
        assert!(!of(409, "idempotency key in progress").is_definitely_not_done());
        for (status, text) in [(429, "x"), (400, "insufficient"), (403, "wallet is locked"), (503, "no wallet loaded")]
        {
            assert!(of(status, text).is_definitely_not_done(), "{status} {text}");
        }
    }

    #[test]
    fn a_full_template_cache_says_when_to_come_back() {
        let error = classify(HttpRefusal {
            daemon: "d",
            route: "r",
            status: 503,
            json: true,
            text: "mining template cache full".into(),
            code: Some("mining_template_cache_full".into()),
            retry_after: Some(Duration::from_secs(7)),
        });
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    }
}
