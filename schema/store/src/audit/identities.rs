//! Worker identities, as batches name them and as the tables number them.
use std::collections::HashMap;

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Binary, Text};
use units::HostId;

use crate::Result;
use crate::db::Conn;
use crate::fold::{IdentityKey, storable};
use crate::joined::Joined;
use crate::sql::binds;

/// The worker identities of one host.
pub(super) struct Identities {
    ids: HashMap<(String, String, Vec<u8>), i64>,
    joined: Joined,
}

impl Identities {
    pub(super) async fn load(c: &mut Conn<'_>, host: HostId) -> Result<Identities> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            id: i64,
            #[diesel(sql_type = Text)]
            address: String,
            #[diesel(sql_type = Text)]
            worker: String,
            #[diesel(sql_type = Binary)]
            origin: Vec<u8>,
        }
        let select = "SELECT l.id, m.address, l.worker, l.origin FROM worker_identities l JOIN miners m ON m.id = l.miner_id \
                      WHERE l.host_id = $1";
        let rows: Vec<Row> = c.rows(select, binds![host.0]).await?;
        let ids = rows.into_iter().map(|row| ((row.address, row.worker, row.origin), row.id)).collect();
        Ok(Identities { ids, joined: Joined::load(c).await? })
    }

    /// The row of an identity that a batch names.
    pub(super) fn id(&self, line: &IdentityKey) -> Option<i64> {
        let address = storable(&line.address);
        let key = (self.joined.now(&address).to_owned(), storable(&line.worker), line.origin.to_vec());
        self.ids.get(&key).copied()
    }
}
