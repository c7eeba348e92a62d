//! PROXY protocol headers, version 1 and 2, of trusted peers.
//!
//! A header is read byte for byte to its end and no further: what follows it belongs to the session. A peer that
//! sends none is served as itself (a health check, or a miner beside the proxy).
use std::io::{self, ErrorKind};
use std::net::IpAddr;

use ppp::{v1, v2};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// How a version 1 header begins.
pub(crate) const V1_PREFIX: &[u8] = b"PROXY ";
/// How a version 2 header begins.
pub(crate) const V2_PREFIX: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, CRLF included.
const V1_MAX: usize = 107;
const V2_FIXED: usize = 16;
/// Addresses and extensions of a version 2 header.
const V2_REST_MAX: usize = 1024;

/// Whom the header names; `None` when there is no header or it names nobody.
///
/// # Errors
/// It is no header, or the connection ended in it.
pub(crate) async fn read_header(stream: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Ok(None);
    }
    match first[0] {
        b'P' => read_v1(stream).await,
        b'\r' => read_v2(stream).await,
        _ => Ok(None),
    }
}

fn garbage(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_string())
}

async fn read_v1(stream: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let mut line = Vec::with_capacity(V1_MAX);
    while line.last() != Some(&b'\n') {
        if line.len() == V1_MAX {
            return Err(garbage("a PROXY line without an end"));
        }
        line.push(stream.read_u8().await?);
    }
    Ok(match v1::Header::try_from(line.as_slice()).map_err(garbage)?.addresses {
        v1::Addresses::Tcp4(addresses) => Some(addresses.source_address.into()),
        v1::Addresses::Tcp6(addresses) => Some(addresses.source_address.into()),
        v1::Addresses::Unknown => None,
    })
}

async fn read_v2(stream: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let mut header = vec![0; V2_FIXED];
    stream.read_exact(&mut header).await?;
    let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if !header.starts_with(V2_PREFIX) || rest > V2_REST_MAX {
        return Err(garbage("no PROXY header, or one that is too long"));
    }
    header.resize(V2_FIXED + rest, 0);
    stream.read_exact(&mut header[V2_FIXED..]).await?;
    let header = v2::Header::try_from(header.as_slice()).map_err(|error| garbage(format!("{error:?}")))?;
    if header.command == v2::Command::Local {
        return Ok(None);
    }
    Ok(match header.addresses {
        v2::Addresses::IPv4(addresses) => Some(addresses.source_address.into()),
        v2::Addresses::IPv6(addresses) => Some(addresses.source_address.into()),
        v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
    })
}
