//! What fuzz targets reach beside the public interface; nothing else uses it.
use std::io;
use std::net::IpAddr;

use messages::write_behind::BanRecord;
use tokio::net::TcpStream;
use units::Timestamp;

use crate::{Bans, Client, proxy};

/// Whom the PROXY header of a trusted peer names.
///
/// # Errors
/// It is no header, or the connection ended in it.
pub async fn proxy_header(stream: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    proxy::read_header(stream).await
}

/// Bans a client.
pub fn ban(bans: &Bans, client: Client, reason: &'static str, now: Timestamp) -> BanRecord {
    bans.add(client, reason, now).record(client)
}

/// The ban that keeps a client out.
#[must_use]
pub fn banned(bans: &Bans, client: Client, now: Timestamp) -> Option<BanRecord> {
    bans.find(client, now).map(|ban| ban.record(client))
}
