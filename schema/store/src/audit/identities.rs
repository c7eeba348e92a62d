//! Worker identities, as batches name them and as the tables number them.
use std::collections::HashMap;

use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use units::HostId;

use crate::Result;
use crate::db::{Conn, on};
use crate::fold::{IdentityKey, storable};
use crate::joined::Joined;
use crate::schema::{miners, worker_identities};

/// The worker identities of one host.
pub(super) struct Identities {
    ids: HashMap<(String, String, Vec<u8>), i64>,
    joined: Joined,
}

impl Identities {
    pub(super) async fn load(conn: &mut Conn<'_>, host: HostId) -> Result<Identities> {
        let all = worker_identities::table
            .inner_join(miners::table)
            .filter(worker_identities::host_id.eq(host.0))
            .select((worker_identities::id, miners::address, worker_identities::worker, worker_identities::origin));
        let rows: Vec<(i64, String, String, Vec<u8>)> = on!(conn, c => all.load(c).await)?;
        let ids = rows.into_iter().map(|(id, address, worker, origin)| ((address, worker, origin), id)).collect();
        Ok(Identities { ids, joined: Joined::load(conn).await? })
    }

    /// The row of an identity that a batch names.
    pub(super) fn id(&self, identity: &IdentityKey) -> Option<i64> {
        let address = storable(&identity.address);
        let key = (self.joined.now(&address).to_owned(), storable(&identity.worker), identity.origin.to_vec());
        self.ids.get(&key).copied()
    }
}
