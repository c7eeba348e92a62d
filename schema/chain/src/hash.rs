//! 32-byte hashes, and their hex form.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha3::{Digest, Sha3_256};

/// Why a text is not the hex form of a fixed number of bytes. The texts are those that miners know from a
/// bad claimed hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseHexError {
    /// Half a byte is left over.
    #[error("hex length must be even")]
    OddLength,
    /// Some character is not a hex digit.
    #[error("invalid hex")]
    NotHex,
    /// Well-formed hex of another length.
    #[error("expected {expected}-byte {what}, got {got} bytes")]
    Length {
        /// What the text should have been.
        what: &'static str,
        /// Bytes of such a thing.
        expected: usize,
        /// Bytes that the text holds.
        got: usize,
    },
}

/// Reads exactly `N` bytes of hex in any case, without allocating.
pub(crate) fn bytes_from_hex<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N], ParseHexError> {
    if !text.len().is_multiple_of(2) {
        return Err(ParseHexError::OddLength);
    }
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ParseHexError::NotHex);
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseHexError::Length {
        what,
        expected: N,
        got: text.len() / 2,
    })?;
    Ok(bytes)
}

/// Writes lower-case hex without allocating.
pub(crate) fn fmt_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Serde as a lower-case hex string, for a type with `Display` and `FromStr`.
macro_rules! serde_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_text;

macro_rules! hashes {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// Prints as 64 lower-case hex digits in byte order; parses hex of any case.
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// 32 zero bytes.
            pub const ZERO: $name = $name([0; 32]);

            /// The bytes, in the order in which they are printed.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseHexError;
            fn from_str(text: &str) -> Result<$name, ParseHexError> {
                bytes_from_hex("hash", text).map($name)
            }
        }

        serde_as_text!($name);
    )*};
}

hashes! {
    /// A SHA3-256 digest without a more precise name, such as a node of the merkle tree.
    Hash32,
    /// The name of a transaction: SHA3-256 of its binary form.
    TxId,
    /// The name of a block: SHA3-256 of its 100 header bytes. It has no leading zeros; see [`PowHash`].
    BlockId,
    /// The Argon2id hash of a header and nonce, the one that is compared with targets. Not the name of a block.
    PowHash,
}

/// The root over the ids of a block's transactions.
pub type MerkleRoot = Hash32;

/// An output of a transaction. Serializes as the list `[txid, index]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "(TxId, u32)", into = "(TxId, u32)")]
pub struct Outpoint {
    /// The transaction.
    pub txid: TxId,
    /// Place among its outputs, from 0.
    pub index: u32,
}

impl From<(TxId, u32)> for Outpoint {
    fn from((txid, index): (TxId, u32)) -> Outpoint {
        Outpoint { txid, index }
    }
}

impl From<Outpoint> for (TxId, u32) {
    fn from(outpoint: Outpoint) -> (TxId, u32) {
        (outpoint.txid, outpoint.index)
    }
}

/// SHA3-256 (FIPS 202) of the parts, one after the other.
#[must_use]
pub fn sha3_256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha3_256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_in_any_case_and_printed_in_lower_case() {
        let text = "AB".repeat(32);
        let hash: Hash32 = text.parse().unwrap();
        assert_eq!(hash.to_string(), "ab".repeat(32));
        assert_eq!(serde_json::from_str::<Hash32>(&serde_json::to_string(&hash).unwrap()).unwrap(), hash);
    }

    #[test]
    fn an_outpoint_is_stored_as_a_list() {
        let outpoint = Outpoint { txid: TxId([0xab; 32]), index: 3 };
        let text = format!("[\"{}\",3]", "ab".repeat(32));
        assert_eq!(serde_json::to_string(&outpoint).unwrap(), text);
        assert_eq!(serde_json::from_str::<Outpoint>(&text).unwrap(), outpoint);
        assert!(serde_json::from_str::<Outpoint>("[\"ab\",3]").is_err());
    }

    #[test]
    fn what_is_wrong_with_a_hash_is_said_in_the_words_miners_know() {
        let refusal = |text: &str| text.parse::<PowHash>().unwrap_err().to_string();
        assert_eq!(refusal("abc"), "hex length must be even");
        assert_eq!(refusal("zz"), "invalid hex");
        assert_eq!(refusal("абвг"), "invalid hex");
        assert_eq!(refusal(""), "expected 32-byte hash, got 0 bytes");
        assert_eq!(refusal(&"00".repeat(33)), "expected 32-byte hash, got 33 bytes");
    }
}
