//! Money.
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Atoms in one coin: 100,000,000.
const ATOMS_PER_COIN: u64 = 100_000_000;
const DECIMALS: usize = 8;

/// Money in atoms (1 coin = 100,000,000 atoms). Never negative, never a float, always fits a `BIGINT`.
///
/// Prints and parses as a decimal number of coins (`"0.10000000"`); in JSON and TOML it is that string.
/// Interfaces that want integer atoms say so and use [`Amount::atoms`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u64);

/// Why a text or number is not an [`Amount`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AmountError {
    /// Not digits, optionally a dot and more digits.
    #[error("`{0}` is not a decimal number of coins")]
    NotDecimal(String),
    /// More than eight digits after the dot.
    #[error("`{0}` has more than 8 decimals")]
    TooFine(String),
    /// Above `i64::MAX` atoms.
    #[error("`{0}` is more than the largest amount")]
    TooLarge(String),
}

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount(0);
    /// The largest amount: `i64::MAX` atoms.
    pub const MAX: Amount = Amount(i64::MAX.unsigned_abs());

    /// From atoms; `None` above [`Amount::MAX`].
    #[must_use]
    pub const fn from_atoms(atoms: u64) -> Option<Amount> {
        if atoms <= Self::MAX.0 { Some(Amount(atoms)) } else { None }
    }

    /// From a database column; `None` when negative.
    #[must_use]
    pub const fn from_i64(atoms: i64) -> Option<Amount> {
        if atoms >= 0 { Some(Amount(atoms.unsigned_abs())) } else { None }
    }

    /// Atoms.
    #[must_use]
    pub const fn atoms(self) -> u64 {
        self.0
    }

    /// Atoms as a database column holds them.
    #[must_use]
    pub const fn to_i64(self) -> i64 {
        self.0.cast_signed()
    }

    /// True for no money at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum; `None` above [`Amount::MAX`].
    #[must_use]
    pub fn checked_add(self, other: Amount) -> Option<Amount> {
        self.0.checked_add(other.0).and_then(Amount::from_atoms)
    }

    /// The difference; `None` below zero.
    #[must_use]
    pub fn checked_sub(self, other: Amount) -> Option<Amount> {
        self.0.checked_sub(other.0).map(Amount)
    }

    /// The sum of many; `None` above [`Amount::MAX`].
    #[must_use]
    pub fn checked_sum(amounts: impl IntoIterator<Item = Amount>) -> Option<Amount> {
        amounts.into_iter().try_fold(Amount::ZERO, Amount::checked_add)
    }

    /// `self * part / whole`, rounded down; the remainder is the caller's to place.
    ///
    /// # Panics
    /// When `part > whole`: a part is never more than the whole.
    #[must_use]
    pub fn portion(self, part: u64, whole: NonZeroU64) -> Amount {
        assert!(part <= whole.get(), "a part is never more than the whole");
        let product = u128::from(self.0).checked_mul(u128::from(part)).expect("two u64 fit a u128");
        let atoms = product.checked_div(u128::from(whole.get())).expect("the whole is not zero");
        Amount(u64::try_from(atoms).expect("a part of an amount is not more than it"))
    }
}

// === impl text ===

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (coins, rest) = (self.0.checked_div(ATOMS_PER_COIN), self.0.checked_rem(ATOMS_PER_COIN));
        write!(f, "{}.{:08}", coins.unwrap_or(0), rest.unwrap_or(0))
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Amount, AmountError> {
        let not_decimal = || AmountError::NotDecimal(text.to_owned());
        let too_large = || AmountError::TooLarge(text.to_owned());
        let (coins, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(coins) || !all_digits(fraction) {
            return Err(not_decimal());
        }
        if fraction.len() > DECIMALS {
            return Err(AmountError::TooFine(text.to_owned()));
        }
        let coins: u64 = coins.parse().map_err(|_| too_large())?;
        let fraction: u64 = format!("{fraction:0<8}").parse().map_err(|_| not_decimal())?;
        coins
            .checked_mul(ATOMS_PER_COIN)
            .and_then(|atoms| atoms.checked_add(fraction))
            .and_then(Amount::from_atoms)
            .ok_or_else(too_large)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn amount(text: &str) -> Result<u64, AmountError> {
        text.parse::<Amount>().map(Amount::atoms)
    }

    #[test]
    fn coins_are_read_to_the_atom() {
        assert_eq!(amount("0.1"), Ok(10_000_000));
        assert_eq!(amount("0.29"), Ok(29_000_000));
        assert_eq!(amount("12"), Ok(1_200_000_000));
        assert_eq!(amount("0.00000001"), Ok(1));
        assert_eq!(amount("92233720368.54775807"), Ok(i64::MAX.unsigned_abs()));
    }

    #[test]
    fn what_is_not_an_amount_is_named() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", " 1", "1,5", "NaN"] {
            assert_eq!(amount(text), Err(AmountError::NotDecimal(text.into())), "{text}");
        }
        assert_eq!(amount("0.123456789"), Err(AmountError::TooFine("0.123456789".into())));
        assert_eq!(amount("92233720368.54775808"), Err(AmountError::TooLarge("92233720368.54775808".into())));
    }

    proptest! {
        #[test]
        fn printing_and_parsing_agree(atoms in 0..=Amount::MAX.atoms()) {
            let amount = Amount::from_atoms(atoms).unwrap();
            prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
        }

        #[test]
        fn a_portion_is_the_floor_and_never_more_than_the_whole(
            atoms in 0..=Amount::MAX.atoms(), whole in 1..u64::MAX, cut in 0..u64::MAX,
        ) {
            let part = cut % whole;
            let got = Amount::from_atoms(atoms).unwrap().portion(part, NonZeroU64::new(whole).unwrap()).atoms();
            let exact = u128::from(atoms) * u128::from(part);
            prop_assert!(u128::from(got) * u128::from(whole) <= exact);
            prop_assert!(exact < (u128::from(got) + 1) * u128::from(whole));
        }
    }
}
