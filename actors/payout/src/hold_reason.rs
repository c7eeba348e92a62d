//! A trouble as it is told: to everybody, to operators, and after how long.

/// How long it must last before it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldDelay {
    None,
    Seconds(u64),
    /// So many blocks; until then the database alone says it.
    Blocks(u64),
}

/// A trouble in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HoldReason {
    /// Short and lasting.
    pub(crate) code: &'static str,
    /// For everybody.
    pub(crate) text: &'static str,
    /// For operators.
    pub(crate) detail: String,
    pub(crate) patience: HoldDelay,
}
