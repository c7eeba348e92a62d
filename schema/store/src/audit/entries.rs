//! Entries, postings, balances.
use diesel::dsl::max;
use diesel::sql_types::{BigInt, Nullable};
use diesel::{QueryDsl, QueryableByName};
use diesel_async::RunQueryDsl;

use super::{Difference, Findings, joined};
use crate::Result;
use crate::db::{Conn, on};
use crate::schema::{accounts, entries, postings};
use crate::sql::{binds, statement};

pub(super) async fn audit(c: &mut Conn<'_>) -> Result<Vec<Difference>> {
    #[derive(QueryableByName)]
    struct Sum {
        #[diesel(sql_type = Nullable<BigInt>)]
        n: Option<i64>,
    }
    let mut found = Findings::default();
    let last_entry: Option<i64> = on!(c, x => entries::table.select(max(entries::id)).first(x).await)?;
    let last_posting: Option<i64> = on!(c, x => postings::table.select(max(postings::id)).first(x).await)?;
    let last_account: Option<i64> = on!(c, x => accounts::table.select(max(accounts::id)).first(x).await)?;
    found.pages(c, "entry sums to zero", statement!("entries/sums.sql"), last_entry).await?;
    found.pages(c, "entry has two postings", statement!("entries/few_postings.sql"), last_entry).await?;
    found.pages(c, "posting has entry and account", statement!("entries/strays.sql"), last_posting).await?;
    found.pages(c, "balance is the sum of its postings", statement!("entries/balances.sql"), last_account).await?;
    found.pages(c, "account counts what blocks gave it", statement!("entries/from_blocks.sql"), last_account).await?;
    found.pages(c, "balance has the sign of its kind", statement!("entries/signs.sql"), last_account).await?;
    found.pages(c, "account is named by kind and miner", statement!("entries/names.sql"), last_account).await?;
    joined::audit(c, &mut found).await?;
    let sum: Option<Sum> = c.load_file(statement!("entries/all_balances.sql"), binds![]).await?.pop();
    let sum = sum.and_then(|sum| sum.n).unwrap_or(0);
    if sum != 0 {
        found.add("all balances sum to zero", "accounts", sum, 0);
    }
    Ok(found.0)
}
