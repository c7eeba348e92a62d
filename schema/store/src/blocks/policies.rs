//! The rules that price blocks, stored once each.
use units::{PolicyId, Timestamp};

use super::rows;
use crate::db::txn;
use crate::sql::binds;
use crate::{Result, Store, StoreError};

/// Two hosts may draw the same number at once.
const TRIES: u32 = 3;

impl Store {
    /// Finds or stores a policy (canonical JSON).
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn policy_ensure(&self, body: &str, at: Timestamp) -> Result<PolicyId> {
        self.policy_ensure_above(body, PolicyId(0), at).await
    }

    /// The same; a new one gets a number above `above`, which the share log knows although the database, an older copy,
    /// may not.
    ///
    /// # Errors
    /// When the database gives no answer.
    pub async fn policy_ensure_above(&self, body: &str, above: PolicyId, at: Timestamp) -> Result<PolicyId> {
        for _ in 0..TRIES {
            let body = body.to_owned();
            let id = self.run(move |db| async move {
                txn!(db, c => {
                    let insert = "INSERT INTO policies (id, body, created_at) SELECT \
                                  (SELECT CASE WHEN MAX(id) > $1 THEN MAX(id) ELSE $1 END FROM policies) + 1, $2, $3 \
                                  WHERE NOT EXISTS (SELECT 1 FROM policies WHERE body = $2) ON CONFLICT DO NOTHING";
                    c.run(insert, binds![above.0, body.clone(), at.ms()]).await?;
                    c.number("SELECT id AS n FROM policies WHERE body = $1", binds![body]).await?
                })
            });
            if let Some(id) = id.await? {
                return Ok(PolicyId(id));
            }
        }
        Err(StoreError::Conflict { what: "a policy that was just stored".to_owned() })
    }

    /// A policy's JSON.
    ///
    /// # Errors
    /// `Conflict` for a policy that is not there.
    pub async fn policy_get(&self, policy: PolicyId) -> Result<String> {
        let found: Vec<rows::Name> =
            self.rows("SELECT body AS name FROM policies WHERE id = $1", binds![policy.0]).await?;
        let body = found.into_iter().next().map(|row| row.name);
        body.ok_or_else(|| StoreError::Conflict { what: format!("policy {policy}") })
    }
}
