//! Why a Stratum connection ended: exactly one reason for each that was accepted.
use instruments::{Counter, Registry};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal),* $(,)?) => {
        /// Why a connection ended.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum CloseReason { $($(#[$doc])* $name),* }

        impl CloseReason {
            /// All there are.
            pub const ALL: &'static [CloseReason] = &[$(CloseReason::$name),*];

            /// Its name in metrics and in bans.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(CloseReason::$name => $label),* }
            }
        }
    };
}

reasons! {
    /// The miner closed it.
    Client = "client",
    /// The network failed.
    Failed = "failed",
    /// The pool stops.
    Drained = "drained",
    /// A login was refused.
    LoginRefused = "login_refused",
    /// No login in time.
    LoginDeadline = "login_deadline",
    /// No line for too long.
    Idle = "idle",
    /// It did not read what it was sent, for too long or too much of it.
    SlowReader = "slow_reader",
    /// A line beyond the limit.
    LineTooLong = "line_too_long",
    /// Bytes that are no text.
    NotUtf8 = "not_utf8",
    /// Too many lines that are no requests.
    InvalidLines = "invalid_lines",
    /// Too many logins.
    LoginRate = "login_rate",
    /// Too many addresses or workers from one client.
    Names = "names",
    /// Too many bytes.
    Bytes = "bytes",
    /// Refused: the pool is full.
    LimitTotal = "limit_total",
    /// Refused: too many connections of the client.
    LimitClient = "limit_client",
    /// Refused: too many connections of the client's network.
    LimitPrefix = "limit_prefix",
    /// Refused: the client connects too often.
    ConnectRate = "connect_rate",
    /// Refused: the client is banned.
    Banned = "banned",
    /// A trusted peer's PROXY header did not come, or is none.
    ProxyHeader = "proxy_header",
    /// A PROXY header from a peer that is not trusted.
    ProxyUntrusted = "proxy_untrusted",
    /// No TLS was spoken, or it failed.
    TlsFailed = "tls_failed",
    /// Too many handshakes at once.
    TlsBusy = "tls_busy",
    /// A handshake took too long.
    TlsDeadline = "tls_deadline",
}

/// How many connections ended, by reason.
#[derive(Debug, Clone)]
pub struct CloseReasonCounts([Counter; CloseReason::ALL.len()]);

impl Default for CloseReasonCounts {
    fn default() -> CloseReasonCounts {
        CloseReasonCounts(std::array::from_fn(|_| Counter::default()))
    }
}

impl CloseReasonCounts {
    /// One number for each reason, all exported under one name.
    #[must_use]
    pub fn register(registry: &Registry, name: &'static str, help: &'static str) -> CloseReasonCounts {
        let counts = CloseReasonCounts::default();
        let exported = counts.clone();
        registry.labelled(name, help, "reason", move || exported.each().collect::<Vec<_>>());
        counts
    }

    /// Counts one.
    pub fn add(&self, reason: CloseReason) {
        self.0[reason as usize].add(1);
    }

    /// How many ended for this reason.
    #[must_use]
    pub fn of(&self, reason: CloseReason) -> u64 {
        self.0[reason as usize].get()
    }

    /// Label and number of each.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        CloseReason::ALL.iter().map(|reason| (reason.label(), self.of(*reason)))
    }
}
