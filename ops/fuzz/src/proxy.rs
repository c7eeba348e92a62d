//! The PROXY header of a trusted peer, however its bytes arrive.
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use arbitrary::Unstructured;
use stratum::fuzzing;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::draw;

const V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of each version that is read.
const LINE_MAX: usize = 107;
const REST_MAX: usize = 1024;
/// Nothing on loopback takes longer, unless it never happens.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a header says; the error is not compared.
type Named = Result<Option<IpAddr>, ()>;

/// A header that is made up well names whom it names; any bytes name somebody only where the definition says so, cut
/// anywhere they say the same, and not one byte behind a header is taken.
pub fn header(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let (cut, made): (u16, bool) = draw(&mut input);
    let mut bytes = Vec::new();
    let named = made.then(|| made_up(&mut input, &mut bytes));
    bytes.extend_from_slice(input.take_rest());
    let cut = usize::from(cut) % (bytes.len() + 1);
    let (said, rest) = read(&[&bytes[..cut], &bytes[cut..]]);
    if let Some(named) = named {
        assert_eq!(said, Ok(named), "{}", bytes.escape_ascii());
    }
    if let Ok(Some(client)) = said {
        assert_eq!(defined(&bytes), Some(client), "{}", bytes.escape_ascii());
    }
    if said.is_ok() {
        assert_eq!(rest, bytes[length(&bytes)..], "behind {}", bytes.escape_ascii());
    }
    assert_eq!(read(&[&bytes]), (said, rest.clone()), "at once");
    if bytes.len() < 128 {
        assert_eq!(read(&bytes.chunks(1).collect::<Vec<_>>()), (said, rest), "byte by byte");
    }
}

/// A header as proxies write them, and whom it names.
fn made_up(input: &mut Unstructured<'_>, bytes: &mut Vec<u8>) -> Option<IpAddr> {
    let (kind, source, target): (u8, [u8; 16], [u8; 16]) = draw(input);
    let (from, to): (u16, u16) = draw(input);
    let v4 = |address: [u8; 16]| Ipv4Addr::new(address[0], address[1], address[2], address[3]);
    let (four, six) = (v4(source), Ipv6Addr::from(source));
    let all = "a vector takes all bytes";
    match kind % 6 {
        0 => write!(bytes, "PROXY TCP4 {four} {} {from} {to}\r\n", v4(target)).expect(all),
        1 => write!(bytes, "PROXY TCP6 {six} {} {from} {to}\r\n", Ipv6Addr::from(target)).expect(all),
        2 => write!(bytes, "PROXY UNKNOWN\r\n").expect(all),
        version_2 => {
            let is_local = kind & 0x40 != 0;
            let extension = vec![0; usize::from(kind & 0x80) * 2];
            let (family, addresses): (u8, Vec<u8>) = match version_2 {
                3 => (0x11, [&source[..4], &target[..4]].concat()),
                4 => (0x21, [source, target].concat()),
                _ => (0x00, Vec::new()),
            };
            let ports = if family == 0 { Vec::new() } else { [from.to_be_bytes(), to.to_be_bytes()].concat() };
            // Extensions are type, length, value; this one is filling.
            let filling = match extension.len() {
                0 => Vec::new(),
                length => [&[4, 0, (length - 3) as u8][..], &extension[3..]].concat(),
            };
            let rest = [addresses, ports, filling].concat();
            bytes.extend_from_slice(V2);
            bytes.extend([if is_local { 0x20 } else { 0x21 }, family]);
            bytes.extend((rest.len() as u16).to_be_bytes());
            bytes.extend(rest);
            if is_local {
                return None;
            }
        }
    }
    match kind % 6 {
        0 | 3 => Some(four.into()),
        1 | 4 => Some(six.into()),
        _ => None,
    }
}

/// How many bytes a header takes that is one.
fn length(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(b'P') => bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1),
        Some(b'\r') if bytes.len() >= 16 => 16 + usize::from(u16::from_be_bytes([bytes[14], bytes[15]])),
        _ => 0,
    }
}

/// Whom the definition of the protocol names.
fn defined(bytes: &[u8]) -> Option<IpAddr> {
    if bytes.starts_with(V2) {
        let (command, family) = (bytes[12], bytes[13]);
        let length = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
        let source = &bytes[16..16 + length.min(REST_MAX)];
        return match (command, family >> 4) {
            (0x21, 1) => Some(IpAddr::from(<[u8; 4]>::try_from(&source[..4]).expect("four"))),
            (0x21, 2) => Some(IpAddr::from(<[u8; 16]>::try_from(&source[..16]).expect("sixteen"))),
            _ => None,
        };
    }
    let end = bytes.windows(2).position(|end| end == b"\r\n").filter(|end| end + 2 <= LINE_MAX)?;
    let words: Vec<&str> = std::str::from_utf8(&bytes[..end]).ok()?.split(' ').collect();
    match words[..] {
        ["PROXY", "TCP4", source, target, from, to] => {
            target.parse::<Ipv4Addr>().ok()?;
            from.parse::<u16>().and(to.parse::<u16>()).ok()?;
            source.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
        }
        ["PROXY", "TCP6", source, target, from, to] => {
            target.parse::<Ipv6Addr>().ok()?;
            from.parse::<u16>().and(to.parse::<u16>()).ok()?;
            source.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        _ => None,
    }
}

/// What is said about bytes that arrive in these pieces, and what is left of them.
fn read(pieces: &[&[u8]]) -> (Named, Vec<u8>) {
    thread_local!(static LOOPBACK: (Runtime, TcpListener) = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port of loopback");
        (runtime, listener)
    });
    LOOPBACK.with(|(runtime, listener)| {
        let address = listener.local_addr().expect("it is bound");
        runtime.block_on(async {
            let (mut proxy, accepted) =
                (TcpStream::connect(address).await.expect("a connection"), listener.accept().await);
            let mut pool = accepted.expect("a connection").0;
            // A closed connection keeps no port.
            for stream in [&proxy, &pool] {
                socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).expect("a socket option");
            }
            proxy.set_nodelay(true).expect("a socket option");
            let sending = async {
                for piece in pieces {
                    // The other end may have heard enough.
                    let _sent = proxy.write_all(piece).await;
                    tokio::task::yield_now().await;
                }
                let _over = proxy.shutdown().await;
            };
            let reading = async {
                let named = fuzzing::proxy_header(&mut pool).await.map_err(drop);
                let mut rest = Vec::new();
                if named.is_ok() {
                    pool.read_to_end(&mut rest).await.expect("the rest");
                }
                (named, rest)
            };
            let both = async { tokio::join!(sending, reading).1 };
            tokio::time::timeout(PATIENCE, both).await.expect("an end")
        })
    })
}
