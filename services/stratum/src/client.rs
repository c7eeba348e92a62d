//! Whom limits and bans are counted by.
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An IPv4 address, or an IPv6 /64: what one subscriber has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client(IpAddr);

impl Client {
    /// The client that `address` belongs to.
    #[must_use]
    pub fn of(address: IpAddr) -> Client {
        match address.to_canonical() {
            IpAddr::V4(address) => Client(IpAddr::V4(address)),
            IpAddr::V6(address) => Client(IpAddr::V6(cut_v6(address, 64))),
        }
    }

    /// The network it is in: the IPv4 /24, the IPv6 /48.
    pub(crate) fn prefix(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & !0xff)),
            IpAddr::V6(address) => IpAddr::V6(cut_v6(address, 48)),
        }
    }
}

fn cut_v6(address: Ipv6Addr, bits: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - bits)))
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => write!(f, "{address}/64"),
        }
    }
}

/// Reads what [`Client`] prints.
impl FromStr for Client {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Client, Self::Err> {
        text.trim_end_matches("/64").parse().map(Client::of)
    }
}

/// The far end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// Its address, or the one that a trusted PROXY header names.
    pub(crate) address: IpAddr,
    /// A trusted PROXY header named it.
    pub(crate) named: bool,
}

impl Peer {
    pub(crate) fn direct(address: IpAddr) -> Peer {
        Peer { address: address.to_canonical(), named: false }
    }

    pub(crate) fn named(address: IpAddr) -> Peer {
        Peer { address: address.to_canonical(), named: true }
    }

    pub(crate) fn client(self) -> Client {
        Client::of(self.address)
    }

    /// Limits that the operator cannot set do not apply to this machine's own connections.
    pub(crate) fn is_exempt(self) -> bool {
        !self.named && self.address.is_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Client {
        Client::of(text.parse().unwrap())
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_a_mapped_ipv4_address_is_itself() {
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::1"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_eq!(client("::ffff:10.0.0.1"), client("10.0.0.1"));
    }

    #[test]
    fn a_prefix_is_an_ipv4_24_or_an_ipv6_48() {
        assert_eq!(client("10.1.2.3").prefix().to_string(), "10.1.2.0");
        assert_eq!(client("2001:db8:1:2::1").prefix().to_string(), "2001:db8:1::");
    }

    #[test]
    fn a_client_is_read_back_as_it_was_written() {
        for text in ["10.1.2.3", "2001:db8:1:2::/64"] {
            assert_eq!(text.parse::<Client>().unwrap().to_string(), text);
        }
        assert!("10.0.0".parse::<Client>().is_err());
    }

    #[test]
    fn only_unnamed_loopback_is_exempt() {
        let home: IpAddr = "127.3.4.5".parse().unwrap();
        assert!(Peer::direct(home).is_exempt() && !Peer::named(home).is_exempt());
        assert!(Peer::direct("::1".parse().unwrap()).is_exempt());
        assert!(!Peer::direct("10.0.0.1".parse().unwrap()).is_exempt());
    }
}
