//! Accounts of a development network: whose they are follows from a number and a name, so that the simulated daemon, a
//! load generator and a test that agree on both speak of the same account.
//!
//! Nobody holds a secret of theirs: they are for places where money is not real.
#![warn(missing_docs)]

use chain::{Address, Network, sha3_256};
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use serde::{Deserialize, Serialize};

/// The public half of an account, which is all that an address holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    spend: [u8; 32],
    view: [u8; 32],
}

impl Keys {
    /// The account that `seed` and `label` name; always the same one, and always made of valid curve points.
    #[must_use]
    pub fn derive(seed: u64, label: &str) -> Keys {
        let point = |part: &[u8]| {
            let mut wide = [0; 64];
            wide[..32].copy_from_slice(&sha3_256(&[b"devnet key 0", part, &seed.to_le_bytes(), label.as_bytes()]));
            wide[32..].copy_from_slice(&sha3_256(&[b"devnet key 1", part, &seed.to_le_bytes(), label.as_bytes()]));
            RistrettoPoint::mul_base(&Scalar::from_bytes_mod_order_wide(&wide)).compress().to_bytes()
        };
        Keys { spend: point(b"spend"), view: point(b"view") }
    }

    /// The key that spends.
    #[must_use]
    pub fn spend_key(&self) -> &[u8; 32] {
        &self.spend
    }

    /// The key that finds what was received.
    #[must_use]
    pub fn view_key(&self) -> &[u8; 32] {
        &self.view
    }

    /// The address in the form with checksum.
    #[must_use]
    pub fn address(&self) -> String {
        Address::encode(&self.spend, &self.view, Network::Testnet)
    }
}

impl From<&Address> for Keys {
    fn from(address: &Address) -> Keys {
        Keys { spend: *address.spend_key(), view: *address.view_key() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_addresses_are_valid() {
        let keys = Keys::derive(7, "miner 1");
        let parsed = Address::parse(&keys.address(), &Network::Testnet).unwrap();
        assert_eq!(Keys::from(&parsed), keys);
    }
}
