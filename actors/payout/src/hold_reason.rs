//! What stands in the way of payouts, as it is told: to everybody, to operators, and after how long.

/// Longer than a wallet needs for the newest block, shorter than an operator waits for a word.
const SETTLING_SECONDS: u64 = 5;
/// A long history may take that long to read at a start.
const READING_SECONDS: u64 = 30;
/// Change is locked for ten blocks after every send; what is lacking longer is lacking.
const SHORT_BLOCKS: u64 = 12;

/// How long it must last before it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldDelay {
    None,
    Seconds(u64),
    /// So many blocks; until then the database alone says it.
    Blocks(u64),
}

/// What stands in the way of payouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum HoldKind {
    Off,
    Paused,
    PauseFile,
    UnknownSends,
    OlderBooks,
    StepsFile,
    Reading,
    WalletShut,
    ViewOnly,
    Scanning,
    Syncing,
    LessWork,
    Insolvent,
    Short,
    FeeAccount,
    ForeignWallet,
    OtherWallet,
    WalletChanged,
    TooManySends,
    Refused,
    Daemon,
    Books,
    Database,
}

impl HoldKind {
    /// Short and lasting: the database and the API know it by this.
    pub(crate) fn code(self) -> &'static str {
        match self {
            HoldKind::Off => "off",
            HoldKind::Paused => "paused",
            HoldKind::PauseFile => "pause_file",
            HoldKind::UnknownSends => "unknown_sends",
            HoldKind::OlderBooks => "older_books",
            HoldKind::StepsFile => "steps_file",
            HoldKind::Reading => "reading",
            HoldKind::WalletShut => "wallet_shut",
            HoldKind::ViewOnly => "view_only",
            HoldKind::Scanning => "scanning",
            HoldKind::Syncing => "syncing",
            HoldKind::LessWork => "less_work",
            HoldKind::Insolvent => "insolvent",
            HoldKind::Short => "short",
            HoldKind::FeeAccount => "fee_account",
            HoldKind::ForeignWallet => "foreign_wallet",
            HoldKind::OtherWallet => "other_wallet",
            HoldKind::WalletChanged => "wallet_changed",
            HoldKind::TooManySends => "too_many_sends",
            HoldKind::Refused => "refused",
            HoldKind::Daemon => "daemon",
            HoldKind::Books => "books",
            HoldKind::Database => "database",
        }
    }

    /// For everybody.
    pub(crate) fn text(self) -> &'static str {
        match self {
            HoldKind::Off => "payouts are off",
            HoldKind::Paused => "payouts are paused",
            HoldKind::PauseFile => "payouts are held: the pause file cannot be looked for",
            HoldKind::UnknownSends => "payouts are held: the wallet has sends that the books do not know",
            HoldKind::OlderBooks => "payouts are held: the books are older than the wallet",
            HoldKind::StepsFile => "payouts are held: their steps cannot be counted in the data directory",
            HoldKind::Reading => "payouts wait: the wallet's sends are being read",
            HoldKind::WalletShut => "payouts wait for the wallet: it is not open, and the pool cannot open it",
            HoldKind::ViewOnly => "payouts are held: the wallet is view-only and cannot send",
            HoldKind::Scanning => "payouts wait: the wallet has not read all blocks yet",
            HoldKind::Syncing => "payouts wait: the wallet's daemon is catching up with the chain",
            HoldKind::LessWork => "payouts are held: the daemon's chain has less work than one seen before",
            HoldKind::Insolvent => "payouts are held: the wallet holds less than the pool owes",
            HoldKind::Short => "payouts are held: the wallet cannot spend enough now",
            HoldKind::FeeAccount => "payouts are held: the pool's fees do not cover the network fee",
            HoldKind::ForeignWallet => "payouts are held: the wallet is none of this network",
            HoldKind::OtherWallet => "payouts are held: the daemon has another wallet",
            HoldKind::WalletChanged => "payouts are held: the wallet keeps changing",
            HoldKind::TooManySends => "payouts are held: the wallet has too many sends to look through",
            HoldKind::Refused => "payouts are held: the daemon refuses them",
            HoldKind::Daemon => "payouts wait: the wallet's daemon does not answer",
            HoldKind::Books => "payouts are held: the books contradict themselves",
            HoldKind::Database => "payouts wait: the database does not answer",
        }
    }

    /// How long it must last before it is told.
    pub(crate) fn delay(self) -> HoldDelay {
        match self {
            HoldKind::Off
            | HoldKind::Paused
            | HoldKind::PauseFile
            | HoldKind::UnknownSends
            | HoldKind::OlderBooks
            | HoldKind::StepsFile => HoldDelay::None,
            HoldKind::Reading => HoldDelay::Seconds(READING_SECONDS),
            HoldKind::Short => HoldDelay::Blocks(SHORT_BLOCKS),
            _ => HoldDelay::Seconds(SETTLING_SECONDS),
        }
    }
}

/// What stands in the way, and what of it operators are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HoldReason {
    pub(crate) kind: HoldKind,
    /// For operators.
    pub(crate) detail: String,
}
