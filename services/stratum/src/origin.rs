//! Where a miner connects from, without saying where.
use std::net::IpAddr;

use hmac::{Hmac, Mac};
use messages::facts::Origin;
use sha2::Sha256;

/// The installation's stored salt.
#[derive(Clone)]
pub struct OriginSalt(pub [u8; 32]);

impl OriginSalt {
    /// HMAC-SHA256 of the IPv4 address, or of the first 64 bits of an IPv6 address, cut to 16 bytes.
    #[must_use]
    pub fn origin(&self, client: IpAddr) -> Origin {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("an HMAC takes a key of any length");
        match client.to_canonical() {
            IpAddr::V4(address) => mac.update(&address.octets()),
            IpAddr::V6(address) => mac.update(&address.octets()[..8]),
        }
        let mut origin = [0; 16];
        origin.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        Origin(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(salt: u8, client: &str) -> Origin {
        OriginSalt([salt; 32]).origin(client.parse().unwrap())
    }

    #[test]
    fn an_ipv6_network_is_one_place_and_a_mapped_ipv4_address_is_itself() {
        assert_eq!(origin(1, "2001:db8::1"), origin(1, "2001:db8::ffff:1"));
        assert_ne!(origin(1, "2001:db8::1"), origin(1, "2001:db8:0:1::1"));
        assert_eq!(origin(1, "::ffff:10.0.0.1"), origin(1, "10.0.0.1"));
        assert_ne!(origin(1, "10.0.0.1"), origin(1, "10.0.0.2"));
    }

    #[test]
    fn another_installation_sees_another_origin() {
        assert_ne!(origin(1, "10.0.0.1"), origin(2, "10.0.0.1"));
    }
}
