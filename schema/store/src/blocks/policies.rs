//! The rules that price blocks, stored once each.
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use units::{PolicyId, Timestamp};

use crate::db::{on, q, txn};
use crate::schema::policies;
use crate::sql::{binds, statement};
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
                txn!(db, conn => {
                    let ensure = statement!("policies/ensure.sql");
                    conn.run_file(ensure, binds![above.0, body.clone(), at.ms()]).await?;
                    let stored = policies::table.filter(policies::body.eq(body)).select(policies::id);
                    on!(conn, c => stored.get_result::<i64>(c).await.optional())?
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
        let body = policies::table.find(policy.0).select(policies::body);
        let body: Option<String> =
            self.run(|db| async move { Ok(q!(db, read, c => body.get_result(c).await.optional())?) }).await?;
        body.ok_or_else(|| StoreError::Conflict { what: format!("policy {policy}") })
    }
}
