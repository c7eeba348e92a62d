//! The 256-bit bound that a proof-of-work hash must not exceed.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use units::Difficulty;

use crate::hash::{ParseHexError, PowHash, bytes_from_hex, fmt_hex, serde_as_text};

/// A bound as a 256-bit number, big-endian; a larger target is easier.
///
/// Shares and blocks use the same rule, so their targets are comparable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target([u8; 32]);

impl Target {
    /// Met by every hash.
    pub const MAX: Target = Target([0xff; 32]);

    /// `floor((2^256 - 1) / difficulty)`.
    #[must_use]
    pub fn from_difficulty(difficulty: Difficulty) -> Target {
        Target::from_hashes(difficulty.get())
    }

    /// The same rule for the raw number in a header, which may exceed what [`Difficulty`] holds. 0 gives the
    /// all-zero target, which in practice no hash meets.
    #[must_use]
    pub fn from_hashes(hashes: u64) -> Target {
        let mut bytes = [0; 32];
        if hashes == 0 {
            return Target(bytes);
        }
        // Long division of 2^256 - 1, one 64-bit digit at a time, from the most significant.
        let divisor = u128::from(hashes);
        let mut rest = 0_u128;
        for digit in bytes.chunks_exact_mut(8) {
            let dividend = (rest << 64) | u128::from(u64::MAX);
            let quotient = u64::try_from(dividend / divisor).expect("the rest is below the divisor");
            digit.copy_from_slice(&quotient.to_be_bytes());
            rest = dividend % divisor;
        }
        Target(bytes)
    }

    /// Takes big-endian bytes as they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Target {
        Target(bytes)
    }

    /// The number, big-endian.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From 64 hex digits of any case.
    ///
    /// # Errors
    /// When the text is not hex or not 32 bytes long.
    pub fn from_hex(text: &str) -> Result<Target, ParseHexError> {
        bytes_from_hex("target", text).map(Target)
    }

    /// 64 lower-case hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// True when the hash is not above the target; equality is good enough.
    #[must_use]
    pub fn is_met_by(&self, hash: &PowHash) -> bool {
        hash.0 <= self.0
    }
}

// === impl text ===

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_hex(&self.0, f)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

impl FromStr for Target {
    type Err = ParseHexError;
    fn from_str(text: &str) -> Result<Target, ParseHexError> {
        Target::from_hex(text)
    }
}

serde_as_text!(Target);

#[cfg(test)]
mod tests {
    use super::*;
    use primitive_types::{U256, U512};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_target_is_the_exact_quotient(hashes in 1..=u64::MAX) {
            let target = U256::from_big_endian(Target::from_hashes(hashes).as_bytes());
            prop_assert_eq!(target, U256::MAX / U256::from(hashes));
        }

        #[test]
        fn a_hash_meets_a_difficulty_exactly_when_their_product_fits_256_bits(
            bytes in any::<[u8; 32]>(), zeros in 0_usize..12, hashes in 1..=Difficulty::MAX.get(),
        ) {
            let mut bytes = bytes;
            bytes[..zeros].fill(0); // Otherwise nearly every random hash misses.
            let product = U512::from(U256::from_big_endian(&bytes)) * U512::from(hashes);
            let met = Target::from_difficulty(Difficulty::new(hashes).unwrap()).is_met_by(&PowHash(bytes));
            prop_assert_eq!(met, product <= U512::from(U256::MAX));
        }

        #[test]
        fn more_difficulty_is_never_a_larger_target(a in 1..=u64::MAX, b in 1..=u64::MAX) {
            let (easy, hard) = (a.min(b), a.max(b));
            prop_assert!(Target::from_hashes(hard) <= Target::from_hashes(easy));
        }
    }

    #[test]
    fn a_hash_on_the_target_meets_it_and_one_above_does_not() {
        let target = Target::from_hashes(1_234_567);
        let number = U256::from_big_endian(target.as_bytes());
        assert!(target.is_met_by(&PowHash(number.to_big_endian())));
        assert!(!target.is_met_by(&PowHash((number + 1).to_big_endian())));
    }
}
