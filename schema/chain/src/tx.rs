//! Transactions: the daemon's JSON form, and the binary form that names them.
//!
//! What this module refuses to do: check signatures, proofs or amounts. A pool carries transactions, it does not
//! judge them.
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::hash::{TxId, sha3_256};

/// A fixed number of bytes that JSON holds as an array of numbers. Short arrays are filled with zeros and the rest of
/// long ones is dropped, as the daemon does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bytes<const N: usize>(pub [u8; N]);

/// Any number of bytes that JSON holds as padded standard base64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Blob(pub Vec<u8>);

/// What a transaction creates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Pedersen commitment to the amount.
    pub commitment: Bytes<32>,
    /// One-time key of the owner.
    pub public_key: Bytes<32>,
    /// Proof that the amount is in range; 672 bytes.
    pub range_proof: Blob,
    /// The amount, for the owner's eyes.
    pub encrypted_amount: Bytes<8>,
    /// The memo, for the owner's eyes.
    pub encrypted_memo: Bytes<128>,
}

/// What a transaction spends, hidden in a ring of 16.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Appears once on the chain, which is what forbids a double spend.
    pub key_image: Bytes<32>,
    /// One-time keys of the ring.
    pub ring_members: Vec<Bytes<32>>,
    /// Commitments of the ring.
    pub ring_commitments: Vec<Bytes<32>>,
    /// Commitment that balances against the outputs.
    pub pseudo_output: Bytes<32>,
    /// 1120 bytes.
    pub ring_signature: Blob,
}

/// A transaction as templates, the mempool and lookups show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// 1 today.
    pub version: u8,
    /// Empty in a coinbase.
    #[serde(deserialize_with = "null_as_empty")]
    pub inputs: Vec<Input>,
    /// At least one.
    #[serde(deserialize_with = "null_as_empty")]
    pub outputs: Vec<Output>,
    /// Atoms that the network burns.
    pub fee: u64,
    /// The key from which the owners derive theirs.
    pub tx_public_key: Bytes<32>,
}

impl Transaction {
    /// True for a transaction that spends nothing.
    #[must_use]
    pub fn is_coinbase(&self) -> bool {
        self.inputs.is_empty()
    }

    /// The bytes that the chain stores and hashes; all integers little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.version];
        bytes.extend(self.tx_public_key.0);
        put_count(&mut bytes, self.inputs.len());
        put_count(&mut bytes, self.outputs.len());
        bytes.extend(self.fee.to_le_bytes());
        for output in &self.outputs {
            bytes.extend(output.public_key.0);
            bytes.extend(output.commitment.0);
            bytes.extend(output.encrypted_amount.0);
            bytes.extend(output.encrypted_memo.0);
            put_blob(&mut bytes, &output.range_proof);
        }
        for input in &self.inputs {
            bytes.extend(input.key_image.0);
            bytes.extend(input.pseudo_output.0);
            put_count(&mut bytes, input.ring_members.len());
            bytes.extend(input.ring_members.iter().flat_map(|key| key.0));
            bytes.extend(input.ring_commitments.iter().flat_map(|commitment| commitment.0));
            put_blob(&mut bytes, &input.ring_signature);
        }
        bytes
    }

    /// The name of the transaction.
    #[must_use]
    pub fn txid(&self) -> TxId {
        TxId(sha3_256(&[&self.to_bytes()]))
    }
}

fn put_count(bytes: &mut Vec<u8>, count: usize) {
    // The daemon takes at most a MiB of JSON, so no count comes near the limit.
    bytes.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_blob(bytes: &mut Vec<u8>, blob: &Blob) {
    put_count(bytes, blob.0.len());
    bytes.extend(&blob.0);
}

// === impl JSON ===

/// Go writes an empty list as `null` when it was never made.
fn null_as_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

impl<const N: usize> Serialize for Bytes<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes<N>, D::Error> {
        struct Numbers<const N: usize>;

        impl<'de, const N: usize> Visitor<'de> for Numbers<N> {
            type Value = Bytes<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an array of {N} numbers below 256")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Bytes<N>, A::Error> {
                let mut bytes = [0; N];
                for byte in &mut bytes {
                    match numbers.next_element()? {
                        Some(number) => *byte = number,
                        None => return Ok(Bytes(bytes)),
                    }
                }
                while numbers.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Bytes(bytes))
            }
        }

        deserializer.deserialize_seq(Numbers)
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Blob, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map(Blob).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_of_another_length_are_read_as_the_daemon_reads_them() {
        let read = |text: &str| serde_json::from_str::<Bytes<4>>(text);
        assert_eq!(read("[1,2]").unwrap(), Bytes([1, 2, 0, 0]));
        assert_eq!(read("[1,2,3,4,5,\"x\"]").unwrap(), Bytes([1, 2, 3, 4]));
        assert!(read("[256]").is_err());
        assert!(read("\"0102\"").is_err());
    }
}
