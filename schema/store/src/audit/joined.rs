//! Miners that were joined into another one.
use super::Findings;
use crate::Result;
use crate::db::Conn;
use crate::joined::Joined;
use crate::sql::{binds, statement};

pub(super) async fn audit(c: &mut Conn<'_>, found: &mut Findings) -> Result<()> {
    found.query(c, "joined account is empty", statement!("joined/balances.sql"), binds![]).await?;
    found.query(c, "joined miner has no line", statement!("joined/identities.sql"), binds![]).await?;
    found.query(c, "miner is joined into one that is not", statement!("joined/chains.sql"), binds![]).await?;
    found.query(c, "joining moves money to the same miner", statement!("joined/moved.sql"), binds![]).await?;
    found.query(c, "entry that joins names who was joined", statement!("joined/named.sql"), binds![]).await?;
    for (old, new) in Joined::load(c).await?.pairs() {
        if !chain::Address::is_same_account(old, new) {
            found.add("joined texts name the same keys", old, new, "the same keys");
        }
    }
    Ok(())
}
