//! What can happen to money.
use std::fmt;

/// What happened. With the reference it names an entry for ever, so that the same event twice changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// A block's reward was divided.
    BlockCredited,
    /// The chain took a credited block back.
    BlockReversed,
    /// Balances were set aside for a payout.
    PayoutReserved,
    /// A payout is final.
    PayoutSettled,
    /// A payout was definitely not sent.
    PayoutReleased,
    /// What was booked under another text of a miner's address went to its account.
    AccountsJoined,
    /// An operator's decision.
    Adjustment,
}

impl EntryKind {
    /// As the database holds it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            EntryKind::BlockCredited => "block_credited",
            EntryKind::BlockReversed => "block_reversed",
            EntryKind::PayoutReserved => "payout_reserved",
            EntryKind::PayoutSettled => "payout_settled",
            EntryKind::PayoutReleased => "payout_released",
            EntryKind::AccountsJoined => "accounts_joined",
            EntryKind::Adjustment => "adjustment",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kind that is told in other words is another kind: databases hold these, and queries ask for them.
    #[test]
    fn kinds_are_stored_under_these_words() {
        for (kind, word) in [
            (EntryKind::BlockCredited, "block_credited"),
            (EntryKind::BlockReversed, "block_reversed"),
            (EntryKind::PayoutReserved, "payout_reserved"),
            (EntryKind::PayoutSettled, "payout_settled"),
            (EntryKind::PayoutReleased, "payout_released"),
            (EntryKind::AccountsJoined, "accounts_joined"),
            (EntryKind::Adjustment, "adjustment"),
        ] {
            assert_eq!((kind.as_str(), kind.to_string()), (word, word.to_owned()));
        }
    }
}
