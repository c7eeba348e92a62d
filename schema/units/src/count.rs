//! Difficulty, work, heights, nonces, rates.
use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// A number outside the range of its type.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{what} must be between {min} and {max}, not {got}")]
pub struct OutOfRange {
    what: &'static str,
    min: u64,
    max: u64,
    got: u64,
}

/// Expected hashes of one share or block. At least 1, at most `i64::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Difficulty(NonZeroU64);

impl Difficulty {
    /// The easiest: every hash meets it.
    pub const ONE: Difficulty = Difficulty(NonZeroU64::MIN);
    /// The hardest that a database column can hold.
    pub const MAX: Difficulty = Difficulty(NonZeroU64::new(i64::MAX.unsigned_abs()).expect("not zero"));

    /// `None` for 0 and above `i64::MAX`.
    #[must_use]
    pub const fn new(hashes: u64) -> Option<Difficulty> {
        if hashes > Self::MAX.0.get() {
            return None;
        }
        match NonZeroU64::new(hashes) {
            Some(hashes) => Some(Difficulty(hashes)),
            None => None,
        }
    }

    /// Expected hashes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// As a database column holds it.
    #[must_use]
    pub const fn to_i64(self) -> i64 {
        self.0.get().cast_signed()
    }
}

impl TryFrom<u64> for Difficulty {
    type Error = OutOfRange;
    fn try_from(hashes: u64) -> Result<Self, OutOfRange> {
        Difficulty::new(hashes).ok_or(OutOfRange { what: "difficulty", min: 1, max: Self::MAX.get(), got: hashes })
    }
}

impl From<Difficulty> for u64 {
    fn from(difficulty: Difficulty) -> u64 {
        difficulty.get()
    }
}

impl fmt::Display for Difficulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A sum of share difficulties: expected hashes done. At most `i64::MAX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Work(u64);

impl Work {
    /// None done.
    pub const ZERO: Work = Work(0);

    /// `None` above `i64::MAX`.
    #[must_use]
    pub const fn new(hashes: u64) -> Option<Work> {
        if hashes <= i64::MAX.unsigned_abs() { Some(Work(hashes)) } else { None }
    }

    /// From a database column; `None` when negative.
    #[must_use]
    pub const fn from_i64(hashes: i64) -> Option<Work> {
        if hashes >= 0 { Some(Work(hashes.unsigned_abs())) } else { None }
    }

    /// Expected hashes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// As a database column holds it.
    #[must_use]
    pub const fn to_i64(self) -> i64 {
        self.0.cast_signed()
    }

    /// The sum; `None` above `i64::MAX`.
    #[must_use]
    pub fn checked_add(self, other: Work) -> Option<Work> {
        self.0.checked_add(other.0).and_then(Work::new)
    }

    /// The difference; `None` below zero.
    #[must_use]
    pub fn checked_sub(self, other: Work) -> Option<Work> {
        self.0.checked_sub(other.0).map(Work)
    }
}

impl From<Difficulty> for Work {
    fn from(difficulty: Difficulty) -> Work {
        Work(difficulty.get())
    }
}

/// A rate in hundredths of a percent, 0 to 10,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct BasisPoints(u16);

impl BasisPoints {
    /// The whole: 10,000.
    pub const WHOLE: NonZeroU64 = NonZeroU64::new(10_000).expect("not zero");

    /// `None` above 10,000.
    #[must_use]
    pub fn new(points: u64) -> Option<BasisPoints> {
        u16::try_from(points).ok().filter(|points| u64::from(*points) <= Self::WHOLE.get()).map(BasisPoints)
    }

    /// Hundredths of a percent.
    #[must_use]
    pub fn get(self) -> u64 {
        u64::from(self.0)
    }
}

impl TryFrom<u64> for BasisPoints {
    type Error = OutOfRange;
    fn try_from(points: u64) -> Result<Self, OutOfRange> {
        BasisPoints::new(points).ok_or(OutOfRange { what: "basis points", min: 0, max: Self::WHOLE.get(), got: points })
    }
}

impl From<BasisPoints> for u64 {
    fn from(points: BasisPoints) -> u64 {
        points.get()
    }
}

/// The number of a block: genesis is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Height(u64);

impl Height {
    /// Any u64 is a height of the wire; those above `i64::MAX` never reach a database.
    #[must_use]
    pub const fn new(height: u64) -> Height {
        Height(height)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// As a database column holds it; heights beyond `i64::MAX` (never mined) become `i64::MAX`.
    #[must_use]
    pub fn to_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// How many blocks were mined on top of this one: tip height minus block height; `None` above the tip.
    #[must_use]
    pub fn depth_below(self, tip: Height) -> Option<u64> {
        tip.0.checked_sub(self.0)
    }

    /// The height after this one.
    #[must_use]
    pub fn next(self) -> Height {
        Height(self.0.saturating_add(1))
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number that a miner varies. Jobs only hand out nonces up to `i64::MAX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Nonce(u64);

impl Nonce {
    /// Any u64 is a nonce.
    #[must_use]
    pub const fn new(nonce: u64) -> Nonce {
        Nonce(nonce)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The 8 bytes that the header and the proof of work use.
    #[must_use]
    pub const fn to_le_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }
}
