//! Listening sockets for what the settings name.
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};

use settings::Listen;
use socket2::{Domain, Protocol, Socket, Type};
use tracing::warn;

/// Connections that the kernel may hold for us while all threads are busy.
const BACKLOG: i32 = 4096;

/// Why the process cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The name is unknown, or nobody could be asked.
    #[error("{key}: cannot resolve {name}: {source}")]
    Resolve {
        /// The setting.
        key: &'static str,
        /// The name, with its port.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The address is taken or not ours.
    #[error("{key}: cannot listen on {address}: {source}")]
    Bind {
        /// The setting.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// One socket for each address that `wanted` names; `inherited` gives those that the process was started with.
///
/// A name may stand for addresses of a kind that this machine has switched off (`localhost` for `::1`): those are left
/// out with a warning as long as one of the same name can be listened on.
///
/// # Errors
/// [`ListenError`]; sockets that were made until then are closed.
pub fn listeners(
    key: &'static str,
    wanted: &Listen,
    mut inherited: impl FnMut(SocketAddr) -> Option<TcpListener>,
) -> Result<Vec<TcpListener>, ListenError> {
    let named = wanted
        .addresses()
        .iter()
        .map(|place| place.resolve().map_err(|source| ListenError::Resolve { key, name: place.to_string(), source }));
    let named = named.collect::<Result<Vec<_>, _>>()?;
    let all: Vec<SocketAddr> = named.concat();
    let mut sockets = Vec::new();
    for (place, addresses) in wanted.addresses().iter().zip(&named) {
        let (mut listens, mut absent) = (false, None);
        for address in addresses {
            let socket = match inherited(*address) {
                Some(socket) => Ok(socket),
                None => bind(*address, needs_v6_alone(*address, &all)),
            };
            match socket {
                Ok(socket) => {
                    listens = true;
                    sockets.push(socket);
                }
                Err(source) => {
                    let error = ListenError::Bind { key, address: *address, source };
                    if !is_absent(&error) {
                        return Err(error);
                    }
                    absent = Some(error);
                }
            }
        }
        match absent {
            Some(error) if !listens => return Err(error),
            Some(error) => warn!(%error, %place, "listen address not available on this machine, skipped"),
            None => {}
        }
    }
    Ok(sockets)
}

/// `[::]` also takes IPv4 as a rule; beside an IPv4 address with the same port it must not.
fn needs_v6_alone(address: SocketAddr, all: &[SocketAddr]) -> bool {
    address.is_ipv6()
        && address.port() != 0
        && all.iter().any(|other| other.is_ipv4() && other.port() == address.port())
}

/// The machine has no such address, or does not speak its kind.
fn is_absent(error: &ListenError) -> bool {
    match error {
        ListenError::Bind { source, .. } => {
            matches!(source.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported)
                || source.raw_os_error() == Some(EAFNOSUPPORT)
        }
        ListenError::Resolve { .. } => false,
    }
}

/// `Address family not supported by protocol`, which has no kind of its own.
const EAFNOSUPPORT: i32 = 97;

fn bind(address: SocketAddr, v6_alone: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the process before it to time out.
    socket.set_reuse_address(true)?;
    if v6_alone {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> Result<Vec<SocketAddr>, ListenError> {
        let sockets = listeners("stratum.listen", &text.parse().unwrap(), |_| None)?;
        Ok(sockets.iter().map(|socket| socket.local_addr().unwrap()).collect())
    }

    /// A port that nobody had a moment ago.
    fn free_port() -> u16 {
        bind("127.0.0.1:0".parse().unwrap(), false).unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn an_address_that_is_taken_is_named_with_its_setting() {
        let held = bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = held.local_addr().unwrap();
        let error = listen(&format!("127.0.0.1:0, {address}")).unwrap_err().to_string();
        assert!(error.starts_with(&format!("stratum.listen: cannot listen on {address}: ")), "{error}");
    }

    #[test]
    fn a_name_that_nobody_knows_is_named_with_its_setting() {
        let error = listen("no-such-host.invalid:1").unwrap_err().to_string();
        assert!(error.starts_with("stratum.listen: cannot resolve no-such-host.invalid:1: "), "{error}");
    }

    #[test]
    fn both_kinds_of_address_share_a_port_and_localhost_is_a_name() {
        let port = free_port();
        let both = listen(&format!("0.0.0.0:{port}, [::]:{port}")).unwrap();
        assert_eq!(both, [format!("0.0.0.0:{port}").parse().unwrap(), format!("[::]:{port}").parse().unwrap()]);
        let port = free_port();
        let local = listen(&format!("localhost:{port}")).unwrap();
        assert!(local.contains(&format!("127.0.0.1:{port}").parse().unwrap()), "{local:?}");
        assert!(local.iter().all(|address| address.ip().is_loopback()), "{local:?}");
        // An address that is written out must exist.
        assert!(listen("192.0.2.1:0").is_err());
    }
}
