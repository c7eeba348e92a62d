//! What fuzz targets reach beside the public interface; nothing else uses it.
use std::io;
use std::net::IpAddr;

use store::bans::BanRow;
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
pub fn ban(bans: &Bans, client: Client, reason: &'static str, now: Timestamp) -> BanRow {
    bans.add(client, reason, now).row(client)
}

/// The ban that keeps a client out.
#[must_use]
pub fn banned(bans: &Bans, client: Client, now: Timestamp) -> Option<BanRow> {
    bans.find(client, now).map(|ban| ban.row(client))
}

/// Bans that are still to be stored.
#[must_use]
pub fn unsaved(bans: &Bans) -> Vec<BanRow> {
    bans.unsaved()
}

/// Notes that these are stored.
pub fn saved(bans: &Bans, rows: &[BanRow]) {
    bans.saved(rows);
}

/// Takes over what is stored.
pub fn refresh(bans: &Bans, stored: Vec<BanRow>, now: Timestamp) {
    bans.refresh(stored, now);
}
