//! Names of rows and log positions.
use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($inner:ty)),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// Row of `hosts`: one process that writes a share log.
    HostId(i64),
    /// Row of `miners`: one payout address.
    MinerId(i64),
    /// Row of `lines`: one (host, miner, worker, origin), the grain of all share accounting.
    LineId(i64),
    /// Row of `templates`.
    TemplateRowId(i64),
    /// Row of `blocks`.
    BlockRowId(i64),
    /// Row of `policies`: one version of the rules that price a block.
    PolicyId(i64),
    /// Row of `accounts`.
    AccountId(i64),
    /// Position of a record in a host's share log. Starts at 1, grows by one per record, is never reused.
    Seq(u64),
}

impl Seq {
    /// Before the first record.
    pub const ZERO: Seq = Seq(0);

    /// As a database column holds it; a log never reaches `i64::MAX` records.
    #[must_use]
    pub fn to_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// From a database column; negative reads as the start.
    #[must_use]
    pub fn from_i64(seq: i64) -> Seq {
        Seq(u64::try_from(seq).unwrap_or(0))
    }

    /// The position `records` later.
    #[must_use]
    pub fn plus(self, records: u64) -> Seq {
        Seq(self.0.saturating_add(records))
    }
}
