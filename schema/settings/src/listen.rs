//! Where to listen: one `HOST:PORT` or several.
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::forms::FormError;

/// One or more places to listen on. Names are resolved when the pool starts, not when settings are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen(Vec<ListenAddress>);

/// An address or a host name, with a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Address(SocketAddr),
    Name(String),
}

/// What is said of a text that is no `HOST:PORT`.
const EXPECTED: &str = "an address or a host name with a port, or a list of them";

impl Listen {
    /// Each of them, in the order of the settings; at least one.
    #[must_use]
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.0
    }

    /// The port of the first: the one that the pool tells others.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.first().map_or(0, |first| first.port)
    }

    /// Whether something stands in both lists.
    pub(crate) fn overlaps(&self, other: &Listen) -> bool {
        self.0.iter().any(|one| one.port != 0 && other.0.contains(one))
    }

    /// Those that other machines may reach.
    pub(crate) fn exposed(&self) -> impl Iterator<Item = &ListenAddress> {
        self.0.iter().filter(|address| !address.is_loopback())
    }
}

impl ListenAddress {
    /// The addresses to listen on. A name may have several.
    ///
    /// # Errors
    /// When a name cannot be resolved now.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        match &self.host {
            Host::Address(address) => Ok(vec![*address]),
            Host::Name(name) => {
                let mut found = Vec::new();
                for address in (name.as_str(), self.port).to_socket_addrs()? {
                    if !found.contains(&address) {
                        found.push(address);
                    }
                }
                if found.is_empty() { Err(io::Error::other("the name has no address")) } else { Ok(found) }
            }
        }
    }

    fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Address(address) => address.ip().to_canonical().is_loopback(),
            Host::Name(name) => name.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Listen {
        Listen(vec![ListenAddress { host: Host::Address(address), port: address.port() }])
    }
}

impl From<(Ipv4Addr, u16)> for Listen {
    fn from((address, port): (Ipv4Addr, u16)) -> Listen {
        Listen::from(SocketAddr::new(IpAddr::V4(address), port))
    }
}

impl FromStr for ListenAddress {
    type Err = FormError;

    fn from_str(text: &str) -> Result<ListenAddress, FormError> {
        let refused = || FormError::new(text, EXPECTED);
        let trimmed = text.trim();
        if let Ok(address) = trimmed.parse::<SocketAddr>() {
            return Ok(ListenAddress { host: Host::Address(address), port: address.port() });
        }
        let (name, port) = trimmed.rsplit_once(':').ok_or_else(refused)?;
        let port = port.parse().map_err(|_| refused())?;
        if !is_host_name(name) {
            return Err(refused());
        }
        Ok(ListenAddress { host: Host::Name(name.to_owned()), port })
    }
}

/// Letters, digits, `-`, `_` and dots between them; the last part is not a number, which would be a mistyped address.
fn is_host_name(name: &str) -> bool {
    let parts: Vec<&str> = name.trim_end_matches('.').split('.').collect();
    let is_part = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    parts.iter().all(is_part) && !parts.last().is_some_and(is_number)
}

/// Several are written with commas between them.
impl FromStr for Listen {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Listen, FormError> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Listen)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => address.fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join(", "))
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Listen, D::Error> {
        deserializer.deserialize_any(ListenVisitor)
    }
}

struct ListenVisitor;

impl<'de> Visitor<'de> for ListenVisitor {
    type Value = Listen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Listen, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Listen, A::Error> {
        let mut addresses = Vec::new();
        while let Some(text) = list.next_element::<String>()? {
            addresses.push(text.parse().map_err(A::Error::custom)?);
        }
        if addresses.is_empty() { Err(A::Error::custom("must not be empty")) } else { Ok(Listen(addresses)) }
    }
}

/// A place to listen on that may be left blank.
pub(crate) mod optional {
    use super::{Deserializer, Listen, ListenVisitor, SeqAccess, Serializer, Visitor, fmt};

    struct Optional;

    impl<'de> Visitor<'de> for Optional {
        type Value = Option<Listen>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            ListenVisitor.expecting(f)?;
            f.write_str(", or a blank")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Option<Listen>, E> {
            if text.trim().is_empty() { Ok(None) } else { ListenVisitor.visit_str(text).map(Some) }
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Option<Listen>, A::Error> {
            ListenVisitor.visit_seq(list).map(Some)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Listen>, D::Error> {
        deserializer.deserialize_any(Optional)
    }

    pub(crate) fn serialize<S: Serializer>(value: &Option<Listen>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.as_ref().map_or_else(String::new, ToString::to_string))
    }
}
