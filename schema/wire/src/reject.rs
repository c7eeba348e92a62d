//! Every "no" that a miner can hear, word for word.
use std::fmt;
use std::time::Duration;

use units::Timestamp;

/// Why a share is not accepted. Prints the text of the answer; the connection always stays open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the text of each variant is its meaning")]
pub enum Reject {
    #[error("invalid submit params")]
    InvalidParams,
    #[error("rate limited, retry")]
    RateLimited,
    #[error("not logged in")]
    NotLoggedIn,
    /// The real client reconnects at once when it reads this about its current job.
    #[error("stale job: assignment not found")]
    AssignmentNotFound,
    #[error("stale job: assignment expired (age={}, ttl={})", Span(*.age), Span(*.ttl))]
    AssignmentExpired { age: Duration, ttl: Duration },
    #[error(
        "stale job: assignment superseded by newer difficulty (stale_for={}, stale_grace={})",
        Span(*.stale_for), Span(*.stale_grace)
    )]
    AssignmentSuperseded { stale_for: Duration, stale_grace: Duration },
    /// `current` is `None` while there is no template.
    #[error(
        "stale job: template {template:016x} exceeded stale grace (current={}, stale_for={}, stale_grace={})",
        Current(*.current), Span(*.stale_for), Span(*.stale_grace)
    )]
    TemplateStale { template: u64, current: Option<u64>, stale_for: Duration, stale_grace: Duration },
    #[error("stale job: template {template:016x} for assignment is no longer available")]
    TemplateGone { template: u64 },
    #[error("job not assigned to this miner")]
    NotAssigned,
    #[error("nonce out of assigned range")]
    NonceOutOfRange,
    #[error("duplicate share")]
    Duplicate,
    #[error("hex length must be even")]
    ClaimedHashOdd,
    #[error("invalid hex")]
    ClaimedHashNotHex,
    #[error("expected 32-byte hash, got {0} bytes")]
    ClaimedHashLength(usize),
    #[error("claimed hash required")]
    ClaimedHashRequired,
    #[error("low difficulty share")]
    LowDifficulty,
    /// The hash is not what was claimed: proof of fraud.
    #[error("invalid share proof")]
    InvalidProof,
    #[error("hash computation failed")]
    HashFailed,
    #[error("invalid share")]
    InvalidShare,
    #[error("{0}")]
    Quarantined(Box<Quarantine>),
    /// A queue is full. The same share may be offered again.
    #[error("server busy, retry")]
    ServerBusy,
    #[error("validation timeout")]
    ValidationTimeout,
}

impl Reject {
    /// What it counts as.
    #[must_use]
    pub const fn code(&self) -> RejectCode {
        match self {
            Reject::AssignmentNotFound
            | Reject::AssignmentExpired { .. }
            | Reject::AssignmentSuperseded { .. }
            | Reject::TemplateStale { .. }
            | Reject::TemplateGone { .. } => RejectCode::StaleJob,
            Reject::Duplicate => RejectCode::Duplicate,
            Reject::NonceOutOfRange => RejectCode::NonceOutOfRange,
            Reject::NotAssigned => RejectCode::NotAssigned,
            Reject::ClaimedHashRequired => RejectCode::ClaimedHashRequired,
            Reject::RateLimited => RejectCode::RateLimited,
            Reject::Quarantined(_) => RejectCode::Quarantined,
            Reject::LowDifficulty => RejectCode::LowDifficulty,
            Reject::InvalidProof => RejectCode::InvalidProof,
            Reject::HashFailed => RejectCode::HashFailed,
            Reject::NotLoggedIn => RejectCode::NotLoggedIn,
            Reject::ClaimedHashOdd | Reject::ClaimedHashNotHex | Reject::ClaimedHashLength(_) => {
                RejectCode::InvalidClaimedHash
            }
            Reject::InvalidParams | Reject::InvalidShare | Reject::ServerBusy | Reject::ValidationTimeout => {
                RejectCode::Other
            }
        }
    }
}

/// The canonical reasons by which rejects are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the text of each variant is its meaning")]
pub enum RejectCode {
    StaleJob,
    Duplicate,
    NonceOutOfRange,
    NotAssigned,
    ClaimedHashRequired,
    RateLimited,
    Quarantined,
    LowDifficulty,
    InvalidProof,
    HashFailed,
    NotLoggedIn,
    InvalidClaimedHash,
    Other,
}

impl RejectCode {
    /// All of them.
    pub const ALL: [RejectCode; 13] = [
        RejectCode::StaleJob,
        RejectCode::Duplicate,
        RejectCode::NonceOutOfRange,
        RejectCode::NotAssigned,
        RejectCode::ClaimedHashRequired,
        RejectCode::RateLimited,
        RejectCode::Quarantined,
        RejectCode::LowDifficulty,
        RejectCode::InvalidProof,
        RejectCode::HashFailed,
        RejectCode::NotLoggedIn,
        RejectCode::InvalidClaimedHash,
        RejectCode::Other,
    ];

    /// As it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            RejectCode::StaleJob => "stale job",
            RejectCode::Duplicate => "duplicate share",
            RejectCode::NonceOutOfRange => "nonce out of assigned range",
            RejectCode::NotAssigned => "job not assigned",
            RejectCode::ClaimedHashRequired => "claimed hash required",
            RejectCode::RateLimited => "rate limited",
            RejectCode::Quarantined => "address quarantined",
            RejectCode::LowDifficulty => "low difficulty share",
            RejectCode::InvalidProof => "invalid share proof",
            RejectCode::HashFailed => "hash computation failed",
            RejectCode::NotLoggedIn => "not logged in",
            RejectCode::InvalidClaimedHash => "invalid claimed hash",
            RejectCode::Other => "other",
        }
    }

    /// What the text of an answer counts as; [`RejectCode::Other`] for everything without a code of its own.
    #[must_use]
    pub fn of_text(text: &str) -> RejectCode {
        if ["hex length must be even", "invalid hex", "expected 32-byte hash"].iter().any(|hex| text.starts_with(hex)) {
            return RejectCode::InvalidClaimedHash;
        }
        let named = RejectCode::ALL.into_iter().find(|code| text.starts_with(code.as_str()));
        named.unwrap_or(RejectCode::Other)
    }
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a login is refused. Prints the text of the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the text of each variant is its meaning")]
pub enum LoginRefusal {
    #[error("invalid login params")]
    InvalidParams,
    /// Empty, or longer than any address.
    #[error("invalid address")]
    InvalidAddress,
    /// With what the address codec says about it.
    #[error("invalid address: {0}")]
    MalformedAddress(String),
    #[error("pool requires protocol_version >= 2")]
    VersionRequired,
    #[error("pool requires submit_claimed_hash capability")]
    ClaimedHashRequired,
    #[error("{0}")]
    Quarantined(Box<Quarantine>),
    #[error("too many logins, wait a moment")]
    TooManyLogins,
    /// Told to a client, in the sense of limits: whoever shares its network address shares this budget.
    #[error("too many different addresses or workers from your address")]
    TooManyNames,
    /// Something of ours is not there. Its own text is for the log, not for a miner.
    #[error("server busy, retry")]
    ServerBusy,
}

impl LoginRefusal {
    /// True when the connection is closed after the answer.
    #[must_use]
    pub const fn closes(&self) -> bool {
        !matches!(self, LoginRefusal::InvalidParams)
    }
}

/// Told to an address that may not mine for a while.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quarantine {
    /// In words.
    pub reason: Option<String>,
    /// For how long.
    pub sentence: Option<Sentence>,
}

/// What led to a quarantine and when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// What was counted.
    pub strikes: Strikes,
    /// The end.
    pub until: Timestamp,
    /// Time until then; printed in whole seconds.
    pub remaining: Duration,
}

/// The two counts that can lead to a quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strikes {
    /// Hashes that were not what was claimed.
    Fraud(u32),
    /// Other bad shares.
    Risk(u32),
}

impl fmt::Display for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("address quarantined")?;
        if let Some(reason) = &self.reason {
            write!(f, ": {reason}")?;
        }
        let Some(sentence) = &self.sentence else { return Ok(()) };
        let (kind, count) = match sentence.strikes {
            Strikes::Fraud(count) => ("fraud", count),
            Strikes::Risk(count) => ("risk", count),
        };
        let remaining = humantime::format_duration(Duration::from_secs(sentence.remaining.as_secs()));
        write!(f, " ({kind} strikes={count}, until {}, remaining {remaining})", sentence.until)
    }
}

/// A duration as these texts print it: `<int>ms` below one second, else seconds with three decimals.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            0 => write!(f, "{}ms", self.0.subsec_millis()),
            seconds => write!(f, "{seconds}.{:03}s", self.0.subsec_millis()),
        }
    }
}

/// A template id, or `-` for none.
struct Current(Option<u64>);

impl fmt::Display for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(template) => write!(f, "{template:016x}"),
            None => f.write_str("-"),
        }
    }
}
