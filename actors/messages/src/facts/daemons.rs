//! How the daemons are, and the chain of the one that is followed.
use chain::BlockId;
use units::Height;

/// The followed daemon's chain as last seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tip {
    /// Whose chain it is, as a place in the list of daemons. Who combines a tip with other reads asks the same one.
    pub daemon: usize,
    /// Height of the best block.
    pub height: Height,
    /// Its id, where the daemon told all of it. Empty also while its chain has less work than one seen before: the pool
    /// may have nothing better to mine on, but no block's outcome and no payment follows from such a chain.
    pub hash: Option<BlockId>,
    /// Height of a chain with more work than this one that was seen before, also by an earlier process.
    pub behind: Option<Height>,
    /// Whether the daemon says that it is catching up.
    pub syncing: bool,
    /// Whether the daemon answered the last time it was asked.
    pub reachable: bool,
}

/// How a daemon is, as last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonHealth {
    /// Its URL without credentials, for labels and logs.
    pub place: String,
    /// Templates come from it.
    pub chosen: bool,
    /// What is known of it.
    pub state: DaemonState,
    /// Height of its best block.
    pub height: Height,
    /// Its event stream stands.
    pub events: bool,
    /// Its wallet was needed the last time, is not open, and the pool cannot open it.
    pub wallet_shut: bool,
}

/// What is known of a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DaemonState {
    /// It was not asked yet.
    #[default]
    Unknown,
    /// It answers, and is on the best tip known.
    Good,
    /// It does not answer.
    Away,
    /// It says that it is catching up.
    Syncing,
    /// Another daemon has had a chain with more work for a while; or this one is followed and shows less work than was
    /// seen before.
    Behind,
    /// It gave no usable template the last time.
    NoTemplate,
    /// Its template would pay another address than the pool's.
    ForeignAddress,
}

impl DaemonState {
    /// What it says to operators: one word for labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            DaemonState::Unknown => "unknown",
            DaemonState::Good => "good",
            DaemonState::Away => "away",
            DaemonState::Syncing => "syncing",
            DaemonState::Behind => "behind",
            DaemonState::NoTemplate => "no_template",
            DaemonState::ForeignAddress => "foreign_address",
        }
    }
}

/// How each daemon of the list is, in its order.
pub type DaemonsReceiver = tokio::sync::watch::Receiver<Vec<DaemonHealth>>;
